"""Settings of the stream process refuse what cannot work, all at once and in words."""

from datetime import timedelta

import pytest

from streaming.config import FeaturesConfig, JoinerConfig, StreamingConfig
from tests.oracles.streams import LABELS


def test_the_defaults_hold() -> None:
    assert [*StreamingConfig().problems(), *JoinerConfig().problems(), *FeaturesConfig().problems()] == []
    assert list(JoinerConfig().problems_with(LABELS)) == []


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (StreamingConfig(store="aerospike://"), "streaming.store: expected memory:// or rocksdb://"),
        (StreamingConfig(session_timeout=timedelta(seconds=1)), "streaming.session_timeout: expected 6s"),
        (StreamingConfig(buffer_records=511), "streaming.buffer_records"),
        (StreamingConfig(batch_records=0), "streaming.batch_records"),
        (StreamingConfig(batch_bytes=2_000_000), "streaming.batch_bytes"),
        (JoinerConfig(trigger_every=timedelta(0)), "joiner.trigger_every"),
        (JoinerConfig(trigger_records=0), "joiner.trigger_records"),
        (JoinerConfig(outlier_run=1), "joiner.outlier_run"),
        (JoinerConfig(labels_per_slate=0), "joiner.labels_per_slate"),
        (FeaturesConfig(user_flush=timedelta(minutes=25)), "features.user_flush: expected a duration that divides 1h"),
        (FeaturesConfig(user_flush=timedelta(hours=1), item_flush=timedelta(minutes=30)), "features.item_flush"),
        (FeaturesConfig(trigger_records=0), "features.trigger_records"),
    ],
)
def test_a_broken_rule_is_named(section: StreamingConfig | JoinerConfig | FeaturesConfig, words: str) -> None:
    assert [problem for problem in section.problems() if problem.startswith(words)]


def test_memory_shorter_than_lateness_is_named() -> None:
    config = JoinerConfig(orphan_wait=timedelta(seconds=1), remember=timedelta(seconds=1))
    assert [problem.split(":")[0] for problem in config.problems_with(LABELS)] == [
        "joiner.orphan_wait",
        "joiner.remember",
    ]
