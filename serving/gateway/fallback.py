"""The slate that needs neither actor nor model: what was popular when an actor was last heard of."""

from collections.abc import Sequence

from serving.wire import RankedSlate
from springtide.contracts.scoring import SlateRequest

POLICY = "popularity"


class PopularItems:
    """The newest list of popular items; any arm's will do. Replaced whole, so any thread may read and write."""

    def __init__(self) -> None:
        self._items: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._items)

    def replace(self, items: Sequence[str]) -> None:
        """Take a newer list, most popular first."""
        self._items = tuple(items)

    def slate(self, request: SlateRequest, reason: str) -> RankedSlate | None:
        """Rank by popularity alone, the same for everyone, so every propensity is 1; None: no item is known."""
        exclude = frozenset(request.exclude)
        chosen = [item for item in self._items[: request.size + len(exclude)] if item not in exclude][: request.size]
        if not chosen:
            return None
        return RankedSlate(
            model_version="", policy=POLICY, fallback=reason, item_ids=chosen, propensities=[1.0] * len(chosen)
        )
