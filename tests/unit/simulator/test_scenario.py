"""Scenario files: read whole, every problem at once; live commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulator.effects import effects_at
from simulator.scenario import from_command, read_scenario, span_ms
from springtide.contracts import control
from springtide.contracts.errors import ConfigError

HOUR_MS = 3_600_000
SCENARIOS = sorted((Path(__file__).parents[3] / "config" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_shipped_scenarios_are_sound(path: Path) -> None:
    changes = read_scenario(path, 0)
    assert len({change.name for change in changes}) == len(changes)
    assert all(change.detail() for change in changes)


@pytest.mark.parametrize(("text", "hours"), [("4h", 4), ("3d18h", 90), ("1d 30m", 24.5), ("0h", 0)])
def test_spans(text: str, hours: float) -> None:
    assert span_ms(text) == hours * HOUR_MS


@pytest.mark.parametrize("text", ["", "soon", "3", "4h later", "h"])
def test_no_spans(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        span_ms(text)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        """
        title = "x"
        [[changes]]
        kind = "drfit"
        [[changes]]
        kind = "drift"
        at = "soon"
        task = "buy"
        factor = -1
        colour = "red"
        [[changes]]
        kind = "fault"
        at = "1h"
        fault = "meteor"
        rate = 2
        """
    )
    with pytest.raises(ConfigError) as caught:
        read_scenario(path, 0)
    text = "\n".join(caught.value.problems)
    for part in ("'title'", "'drfit'", "'soon'", "'buy'", "got -1", "colour", "'meteor'", "got 2", "changes[2].lasts"):
        assert part in text


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"simulator\.scenario"):
        read_scenario(tmp_path / "none.toml", 0)


def test_gradual_drift_grows_linearly_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[[changes]]\nkind="drift"\nat="1h"\ntask="cart"\nfactor=0.5\nover="2h"\nlasts="4h"\n')
    changes = read_scenario(path, 0)
    at = [effects_at(changes, round(hours * HOUR_MS)).drift["cart"] for hours in (0.5, 1, 2, 3, 4.9, 5)]
    assert at == pytest.approx([1, 1, 0.75, 0.5, 0.5, 1])


def test_lifts_of_several_layers_multiply(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("".join(
        f'[[changes]]\nkind="lift"\nat="0h"\narm="{arm}"\ntask="click"\nfactor={factor}\n'
        for arm, factor in (("a", 1.2), ("b", 1.5))
    ))  # fmt: skip
    effects = effects_at(read_scenario(path, 0), 0)
    assert effects.lift(["a", "b"], "click") == pytest.approx(1.8)
    assert effects.lift(["a", "c"], "click") == pytest.approx(1.2)
    assert effects.lift(["a"], "cart") == 1.0


COMMAND: dict[str, Any] = {"command_id": "c", "issued_ms": 5}


@pytest.mark.parametrize(
    ("command", "kind", "until"),
    [
        (control.Drift(**COMMAND, task="click", factor=2.0), "drift", None),
        (control.Lift(**COMMAND, arm="treatment", task="click", factor=2.0), "lift", None),
        (control.SampleRatioMismatch(**COMMAND, arm="treatment", rate=0.2), "sample_ratio_mismatch", None),
        (control.FlashSale(**COMMAND, traffic_factor=2.0, seconds=60), "flash_sale", 160_000),
        (control.Fault(**COMMAND, kind="duplicate", rate=0.2, seconds=60), "fault", 160_000),
    ],
)
def test_commands_become_changes(command: control.AnyCommand, kind: str, until: int | None) -> None:
    change = from_command(command, 100_000)
    assert change is not None
    assert (change.kind, change.at_ms, change.name) == (kind, 100_000, "c")
    assert until is None or change.until_ms == until


def test_others_commands_are_left_to_others() -> None:
    assert from_command(control.KillProcess(**COMMAND, process="joiner"), 0) is None
    assert from_command(control.Fault(**COMMAND, kind="meteor", rate=0.2, seconds=60), 0) is None
