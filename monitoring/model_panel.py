"""Model versions, swaps, and the freshness waterfall from an event to the model that is served."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from monitoring.report_book import ReportBook
from springtide.contracts import metric_names as names
from springtide.contracts.bundle import ModelSwap, ModelUpdate


@dataclass(slots=True)
class ModelPanel:
    """Bundles announced and swaps made."""

    updates: deque[ModelUpdate] = field(default_factory=lambda: deque(maxlen=200))
    swaps: deque[ModelSwap] = field(default_factory=lambda: deque(maxlen=400))
    swapped: int = 0
    refused: int = 0

    def add_update(self, update: ModelUpdate) -> None:
        """Take an announcement."""
        self.updates.append(update)

    def add_swap(self, swap: ModelSwap) -> None:
        """Take a swap that a serving actor told of."""
        self.swaps.append(swap)
        if swap.refused:
            self.refused += 1
        else:
            self.swapped += 1

    def snapshot(self, book: ReportBook, now_ms: int) -> dict[str, Any]:
        """Give versions, the newest swaps and the waterfall."""
        served = {}
        for swap in self.swaps:
            if not swap.refused:
                served[swap.arm] = {"version": swap.version, "chain": swap.chain, "load_ms": swap.load_ms}
        return {
            "served": served,
            "swapped": self.swapped,
            "refused": self.refused,
            "bundles": len(self.updates),
            "newest": [
                {
                    "chain": update.chain,
                    "version": update.version,
                    "kind": update.kind,
                    "refused": update.refused,
                    "rolled_back": update.rolled_back,
                    "samples": update.samples_learned,
                    "newest_event_ms": update.newest_event_ms,
                }
                for update in list(self.updates)[-8:]
            ],
            "waterfall": self._waterfall(book, now_ms),
        }

    def _waterfall(self, book: ReportBook, now_ms: int) -> list[dict[str, Any]]:
        """Age of the newest event at each stage, in event time behind the simulated clock; each adds to the last."""
        published = max((update.newest_event_ms for update in self.updates if not update.refused), default=0)
        stages = [
            ("broker and joiner", book.highest(names.NEWEST_EVENT, stage="joiner")),
            ("watermark", book.lowest(names.WATERMARK, stage="joiner")),
            ("learned", book.highest(names.TRAIN_NEWEST, chain="minute")),
            ("published", published / 1000 if published else None),
            ("served", book.lowest(names.MODEL_NEWEST)),
        ]
        found: list[dict[str, Any]] = []
        reached = 0.0
        for stage, newest_s in stages:
            if newest_s is None or not newest_s or not now_ms:
                found.append({"stage": stage, "age_s": None, "step_s": None})
                continue
            age = max(now_ms / 1000 - newest_s, 0.0)
            found.append({"stage": stage, "age_s": age, "step_s": max(age - reached, 0.0)})
            reached = max(reached, age)
        return found
