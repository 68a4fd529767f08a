"""Settings: precedence, conversion, and every problem at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from springtide.contracts.errors import ConfigError
from springtide.runtime.config import KafkaConfig, LabelsConfig, ProcessConfig
from springtide.runtime.settings import (
    apply_overrides,
    build_sections,
    milliseconds,
    parse_duration,
    plain,
    read_profile,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pump:
    rate: float
    every: timedelta = timedelta(seconds=1)
    names: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        if self.rate <= 0:
            yield f"process.rate: expected more than 0, got {self.rate}; raise it"


def test_durations_read_in_every_unit() -> None:
    texts = ["250ms", "30s", "10m", "1.5h", "7d"]
    assert [milliseconds(parse_duration(text)) for text in texts] == [250, 30_000, 600_000, 5_400_000, 604_800_000]


def test_a_bare_number_is_no_duration() -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration("10")


def test_precedence_is_parent_profile_environment_set(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[process]\nrate = 1.0\nevery = '1s'\nnames = ['a']\n")
    (tmp_path / "demo.toml").write_text("extends = 'base.toml'\n[process]\nevery = '2s'\n")
    values = read_profile(tmp_path / "demo.toml")
    values = apply_overrides(values, {"SPRINGTIDE__PROCESS__RATE": "3"}, ["process.names=['b', 'c']"])
    pump = build_sections(values, {"process": Pump})["process"]
    assert pump == Pump(rate=3.0, every=timedelta(seconds=2), names=("b", "c"))


def test_all_problems_of_all_sections_are_listed_at_once() -> None:
    values: dict[str, dict[str, Any]] = {
        "process": {"rate": "fast", "evry": "1s", "every": "soon"},
        "kafka": {"bootstrap": "nowhere", "partitions": 0},
        "kafak": {},
    }
    with pytest.raises(ConfigError) as caught:
        build_sections(values, {"process": Pump, "kafka": KafkaConfig})
    text = str(caught.value)
    for part in ("kafak", "process.rate", "process.evry", "process.every", "kafka.bootstrap", "kafka.partitions"):
        assert part in text
    assert len(caught.value.problems) == 6


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"process\.rate: expected a value"):
        build_sections({}, {"process": Pump})


def test_a_malformed_set_is_named() -> None:
    with pytest.raises(ConfigError, match="section.key=value"):
        apply_overrides({}, {}, ["rate"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        read_profile(tmp_path / "gone.toml")


def test_the_shipped_base_profile_keeps_its_own_rules() -> None:
    values = read_profile(Path("config/base.toml"))
    build_sections(values, {"process": ProcessConfig, "kafka": KafkaConfig, "labels": LabelsConfig})


def test_label_windows_must_be_ordered_and_complete() -> None:
    short, long = timedelta(minutes=1), timedelta(hours=1)
    labels = LabelsConfig(
        observation={"click": long, "cart": short}, attribution={"click": short, "cart": long}, allowed_lateness=short
    )
    assert [problem.split(":")[0] for problem in labels.problems()] == [
        "labels.observation",
        "labels.attribution",
        "labels.observation.click",
    ]


def test_plain_turns_a_section_into_json_values() -> None:
    assert plain(Pump(rate=1.0)) == {"rate": 1.0, "every": 1.0, "names": []}
