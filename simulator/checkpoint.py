"""What survives a kill: a checkpoint now and then, and a log of every step's answers since.

The log is written before a step's messages are sent. So a repeated step finds the same slates and sends the same
events with the same ids, whatever the gateway would answer now, and whoever reads drops the duplicates.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from simulator.config import SimulatorConfig
from simulator.scenario import Change
from simulator.story import Pending, StoryState
from springtide.contracts.errors import StateError
from springtide.contracts.scoring import SlateResponse
from springtide.runtime.settings import plain

_PACE = {
    "mode", "scenario", "gateway", "concurrency", "request_timeout", "retry_wait", "speed", "follow",
    "follow_patience", "checkpoint_every", "exit_when_done", "settle",
}  # fmt: skip
"""Settings that may differ between two runs of one story."""


class Checkpoint(msgspec.Struct, kw_only=True):
    """Everything before `now_ms` is told."""

    fingerprint: str
    now_ms: int
    control_offset: int
    pending: list[Pending]
    live_changes: list[Change]
    counts: dict[str, int]
    sums: dict[str, float]
    policy: dict[str, Any]


class StepLog(msgspec.Struct, kw_only=True):
    """What one step got from outside: live commands, and the slates."""

    now_ms: int
    control_offset: int
    live_changes: list[Change]
    slates: list[SlateResponse]


def fingerprint(config: SimulatorConfig, scenario: Sequence[Change]) -> str:
    """Hash what makes the world and its story."""
    shape = {key: value for key, value in plain(config).items() if key not in _PACE}
    text = msgspec.json.encode([shape, list(scenario)], order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


class Keeper:
    """Keeps the checkpoint and the log in one folder."""

    def __init__(self, folder: Path, identity: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                f"process.state_folder: expected a writable folder, got {error}; choose another"
            ) from error
        self._checkpoint, self._log, self._identity = folder / "checkpoint.json", folder / "steps.jsonl", identity

    def load(self) -> tuple[Checkpoint | None, list[StepLog]]:
        """Read what was kept; a torn last line is a step of which nothing was sent.

        Raises:
            StateError: the state is of another story, or is torn.
        """
        if not self._checkpoint.exists():
            return None, []
        try:
            kept = msgspec.json.decode(self._checkpoint.read_bytes(), type=Checkpoint)
        except msgspec.DecodeError as error:
            raise StateError(f"{self._checkpoint}: expected a checkpoint, got {error}; remove the folder") from error
        if kept.fingerprint != self._identity:
            raise StateError(
                f"{self._checkpoint}: expected a story with identity {self._identity}, got {kept.fingerprint}; "
                "remove the state folder, or go back to the settings and scenario it was begun with"
            )
        return kept, self._steps(kept.now_ms)

    def _steps(self, from_ms: int) -> list[StepLog]:
        steps = []
        for line in self._log.read_bytes().split(b"\n") if self._log.exists() else []:
            try:
                step = msgspec.json.decode(line, type=StepLog)
            except msgspec.DecodeError:
                break
            if step.now_ms >= from_ms:
                steps.append(step)
        return steps

    def log(self, step: StepLog) -> None:
        """Write a step's answers; to be called before anything of the step is sent."""
        with self._log.open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")

    def save(self, state: StoryState, control_offset: int, policy: dict[str, Any]) -> None:
        """Write a checkpoint whole, then forget the steps before it."""
        kept = Checkpoint(
            fingerprint=self._identity, now_ms=state.now_ms, control_offset=control_offset, pending=state.pending,
            live_changes=state.live_changes, counts=dict(state.counts), sums=state.sums, policy=policy,
        )  # fmt: skip
        beside = self._checkpoint.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._checkpoint)
        self._log.write_bytes(b"")


def restore(kept: Checkpoint) -> StoryState:
    """Make the state that a checkpoint holds."""
    return StoryState(
        now_ms=kept.now_ms,
        pending=[(due, name, kind, event) for due, name, kind, event in kept.pending],
        live_changes=list(kept.live_changes),
        counts=Counter(kept.counts),
        sums=dict(kept.sums),
    )
