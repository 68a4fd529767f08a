"""`springtide train`: what it starts, what it refuses, and how Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from local_stack.command import main, train
from local_stack.command.parser import make_parser
from local_stack.command.train import train_command
from springtide.contracts.errors import ExitCode
from springtide.runtime.settings import apply_overrides
from trainer.backfill_config import BackfillConfig


def command(tmp_path: Path, *flags: str) -> list[str]:
    return train_command(make_parser().parse_args(["train", *flags]), {"SPRINGTIDE_STATE": str(tmp_path)})


def test_the_flags_become_settings_of_a_process_of_its_own(tmp_path: Path) -> None:
    made = command(tmp_path, "--from", "2026-01-05", "--to", "2026-01-07", "--out", "again", "--set", "trainer.seed=9")
    assert made[1:4] == ["-m", "trainer.backfill", "--config"]
    sets = [value for flag, value in zip(made, made[1:], strict=False) if flag == "--set"]
    values = apply_overrides({}, {}, sets)
    assert values["backfill"] == {
        "out": str(Path("again").absolute()), "first_day": "2026-01-05", "last_day": "2026-01-07"
    }  # fmt: skip
    assert not list(BackfillConfig(**values["backfill"]).problems())
    assert values["trainer"] == {"seed": 9}
    assert values["process"]["state_folder"] == str(tmp_path)


def test_an_archive_may_be_a_url_and_gaps_allowed(tmp_path: Path) -> None:
    made = command(tmp_path, "--archive", "s3://bucket/days", "--allow-gaps")
    assert 'trainer.archive="s3://bucket/days"' in made
    assert "backfill.allow_gaps=true" in made


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--from", "monday"], "--from: expected a day such as 2026-01-05, got 'monday'"),
        (["--from", "2026-01-06", "--to", "2026-01-05"], "--to: expected 2026-01-06 or later, got 2026-01-05"),
    ],
)
def test_days_that_cannot_be_are_refused_at_once(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *flags]) == ExitCode.CONFIG
    assert told in capsys.readouterr().err


WAITS = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(130)); print('on', flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("program", "code"), [("import sys; sys.exit(30)", 30), ("import os; os.kill(os.getpid(), 9)", 16)]
)
def test_the_exit_code_is_that_of_the_process(program: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "train_command", lambda *_: [sys.executable, "-c", program])
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    try:
        assert main(["train"]) == code
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)


def test_ctrl_c_is_passed_on_and_awaited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = tmp_path / "on"
    program = WAITS.replace("print('on', flush=True)", f"open({str(started)!r}, 'w').close()")
    monkeypatch.setattr(train, "train_command", lambda *_: [sys.executable, "-c", program])
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)

    def press() -> None:
        while not started.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    try:
        assert main(["train"]) == ExitCode.INTERRUPTED
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)
