"""Watches that commits go on: Faust may stop making them and say nothing (docs/decisions/faust-upstream.md)."""

from collections.abc import Mapping

from faust.types import TP


class CommitWatch:
    """Says which partitions have had work to commit for too long without any commit.

    Under a steady stream commits never quite catch up with what is released, so being behind says nothing; standing
    still while behind does.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._still: dict[TP, tuple[int, float]] = {}
        """Per partition that is behind: the commit that it stands at, and since when."""

    def stuck(self, released: Mapping[TP, int], confirmed: Mapping[TP, int], now: float) -> list[TP]:
        """Look once.

        Args:
            released: next offset to commit per partition of this worker.
            confirmed: what the broker holds.
            now: seconds on a monotonic clock.
        """
        behind = {tp: confirmed.get(tp, -1) for tp, offset in released.items() if confirmed.get(tp, -1) < offset}
        self._still = {
            tp: self._still[tp] if tp in self._still and self._still[tp][0] == offset else (offset, now)
            for tp, offset in behind.items()
        }
        return [tp for tp, (_, since) in self._still.items() if now - since > self._stall_seconds]
