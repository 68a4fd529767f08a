"""Topics that change what is served: `model-updates` and `control`."""

import logging
from collections.abc import Callable, Mapping

import msgspec
import ray

from serving.cluster import FAILURES, ActorCalls
from serving.gateway import metrics
from serving.gateway.assignment import Assignments
from serving.load_outcome import outcome_decoder
from serving.model_board import ModelBoard
from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.codec import command_decoder, decode, encode
from springtide.contracts.control import Ramp
from springtide.contracts.errors import ContractError

_log = logging.getLogger(__name__)

LOAD_SECONDS = 60.0
"""Longest wait for one load; it goes on without us."""


class ModelAnnouncements:
    """Hands the newest announcement of each chain to the arms that serve it. Used by one follower's thread."""

    def __init__(self, actors: Mapping[str, ActorCalls], chains: Mapping[str, str], board: ModelBoard) -> None:
        self._actors, self._chains, self._board = actors, chains, board
        self._newest: dict[str, ModelUpdate] = {}

    def take(self, key: bytes, value: bytes | None) -> None:
        """Note an announcement. What was refused by its publisher is none; what came before a newer one is skipped.

        Raises:
            ContractError: it is no announcement.
        """
        update = decode(value or b"", ModelUpdate, where="model-updates")
        if not update.refused:
            self._newest[update.chain] = update

    def hand_over(self) -> None:
        """Let every arm load what was noted, all at once; an arm that is down loads it when it comes back."""
        noted, self._newest = self._newest, {}
        loads = {
            arm: self._actors[arm].load.remote(encode(noted[chain]))
            for arm, chain in self._chains.items()
            if chain in noted
        }
        for arm, load in loads.items():
            try:
                self._board.loaded(arm, outcome_decoder.decode(ray.get(load, timeout=LOAD_SECONDS)))
            except FAILURES as error:
                _log.warning("arm %s: expected an answer to a new model, got %s", arm, type(error).__name__)


class Ramps:
    """Obeys `Ramp` commands; other commands are for other processes."""

    def __init__(self, assignments: Assignments, mark: Callable[[Ramp], None]) -> None:
        self._assignments, self._mark = assignments, mark

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take one command.

        Raises:
            ContractError: it is no command, or a ramp of an experiment that is not known.
        """
        try:
            command = command_decoder.decode(value or b"")
        except msgspec.DecodeError as error:
            raise ContractError(f"control: expected a command, got {error}", reason="undecodable") from error
        if not isinstance(command, Ramp):
            return
        if not self._assignments.ramp(command.experiment, command.enrolled):
            raise ContractError(
                f"control: expected a known experiment and a share of 0 to 1, got {command.experiment!r} and "
                f"{command.enrolled}; mend the command"
            )
        for name, share in self._assignments.enrolled().items():
            metrics.ENROLLED.labels(name).set(share)
        _log.info("experiment %s enrols %.0f %% of users", command.experiment, 100 * command.enrolled)
        self._mark(command)
