from datetime import timedelta
from pathlib import Path

import pytest

from feature_store.config import FeatureStoreConfig
from springtide.contracts.errors import ConfigError
from springtide.runtime.settings import build_sections, read_profile

BASE = Path(__file__).parents[3] / "config" / "base.toml"


def test_the_shipped_section_says_what_the_defaults_say() -> None:
    built = build_sections(read_profile(BASE), {"feature_store": FeatureStoreConfig})
    assert built["feature_store"] == FeatureStoreConfig()


def test_every_broken_rule_is_told() -> None:
    bad = {"redis": "nowhere", "batch_rows": 0, "compact_files": 1, "retention": "1d"}
    with pytest.raises(ConfigError) as caught:
        build_sections({"feature_store": bad}, {"feature_store": FeatureStoreConfig})
    named = [problem.split(":")[0] for problem in caught.value.problems]
    assert named == [f"feature_store.{key}" for key in ("redis", "batch_rows", "compact_files", "retention")]
    assert not list(FeatureStoreConfig(retention=timedelta(0)).problems())
