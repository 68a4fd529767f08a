"""Topic `model-updates`: hands new models to the arms."""

import logging
from collections.abc import Mapping

import ray

from serving.cluster import FAILURES, ActorCalls
from serving.load_outcome import outcome_decoder
from serving.model_board import ModelBoard
from springtide.contracts.bundle import ModelUpdate
from springtide.contracts.codec import decode, encode

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
