"""A point ends the process at the hit that was asked for, costs nothing when none was, and lies in the code."""

import os
from pathlib import Path

import pytest

from streaming.shell import failpoints

SHELL = Path(failpoints.__file__).parent


def test_without_the_variable_a_point_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", lambda _code: pytest.fail("the process would have ended"))
    reach = failpoints.make("")
    for name in failpoints.POINTS:
        reach(name)
    assert failpoints.reach is failpoints.make("")


def test_a_point_ends_the_process_at_its_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    reach = failpoints.make("settled:2")
    for name in ("settled", "released", "settled", "settled"):
        reach(name)
    assert codes == [failpoints.EXIT_CODE]


@pytest.mark.parametrize("setting", ["nowhere:1", "settled", "settled:0", "settled:often"])
def test_a_wrong_setting_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="expected NAME:HIT"):
        failpoints.make(setting)


def test_every_point_lies_in_the_code() -> None:
    source = "".join(path.read_text() for path in SHELL.glob("*.py") if path.name != "failpoints.py")
    there = {name for name in failpoints.POINTS if f'reach("{name}")' in source}
    built = {"row-batch-acknowledged", "changelog-batch-acknowledged"}
    assert "-batch-acknowledged" in source
    assert there | built == set(failpoints.POINTS)
