"""The flags of `springtide windows` and `springtide audit`: moments, shares, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.command import main
from local_stack.command.parser import make_parser
from local_stack.command.reading import FAR_MS, read_settings, read_span
from springtide.contracts.errors import ConfigError, ExitCode


@pytest.mark.parametrize(
    ("flags", "span"),
    [
        ([], (0, FAR_MS)),
        (["--from", "2026-01-05", "--to", "2026-01-05T12:00"], (1_767_571_200_000, 1_767_614_400_000)),
        (["--from", "1767571200000"], (1_767_571_200_000, FAR_MS)),
        (["--to", "2026-01-05T01:00+01:00"], (0, 1_767_571_200_000)),
    ],
)
def test_moments_are_utc_unless_they_say_else(flags: list[str], span: tuple[int, int]) -> None:
    assert read_span(make_parser().parse_args(["audit", *flags])) == span


@pytest.mark.parametrize("flags", [["--from", "noon"], ["--from", "2026-01-06", "--to", "2026-01-05"]])
def test_a_moment_that_is_none_is_refused(flags: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"--(from|to): expected a moment"):
        read_span(make_parser().parse_args(["windows", *flags]))


def test_the_settings_are_those_of_the_state_folder_or_the_base(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPRINGTIDE_STATE", str(tmp_path))
    given = make_parser().parse_args(["audit", "--bootstrap", "h:1", "--set", "kafka.topic_prefix=a-"])
    kafka, labels, _ = read_settings(given)
    assert (kafka.bootstrap, kafka.topic("x")) == ("h:1", "a-x")
    assert labels.final_age.days == 1


@pytest.mark.parametrize(
    "flags",
    [["--catch", "1.5"], ["--early", "0.99"], ["--horizon", "soon"], ["--horizon", "5s"]],
)
def test_windows_that_cannot_be_are_refused_before_a_broker_is_asked(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["windows", "--config", "config/base.toml", *flags]) == ExitCode.CONFIG
    assert flags[0] in capsys.readouterr().err
