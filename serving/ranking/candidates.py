"""Which ~100 items are worth scoring for a request: popular, of the user's categories, new, and a random share."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from serving.ranking.item_table import ItemTable
from serving.ranking.seeded import seeded


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateCounts:
    """How many candidates each source gives."""

    popular: int = 35
    """Most popular items."""
    category: int = 30
    """Most popular items of the user's top categories, together."""
    newest: int = 15
    """Drawn from the four times as many latest born."""
    random: int = 20
    """Drawn from all; makes up what the other sources lack."""

    @property
    def total(self) -> int:
        """Candidates per request, if the catalogue has as many."""
        return self.popular + self.category + self.newest + self.random

    def problems(self, where: str) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        for name in ("popular", "category", "newest", "random"):
            if getattr(self, name) < 0:
                yield f"{where}.{name}: expected at least 0, got {getattr(self, name)}; raise it"


def choose_candidates(
    table: ItemTable,
    counts: CandidateCounts,
    *,
    request_id: str,
    top_categories: Sequence[str] = (),
    exclude: Collection[str] = (),
) -> list[int]:
    """Choose rows of `table`, without repeats; the same request and table give the same rows in the same order.

    Args:
        table: the catalogue.
        counts: how many of each source.
        request_id: seeds the random shares.
        top_categories: the user's, most liked first.
        exclude: item ids that must not be chosen.
    """
    draws = seeded("candidates", request_id)
    chosen: dict[int, None] = {}

    def take(rows: Sequence[int], most: int) -> None:
        left = most
        for row in rows:
            if left <= 0:
                return
            if row not in chosen and table.shelf.ids[row] not in exclude:
                chosen[row] = None
                left -= 1

    # Sources that may run out come first; what they lack, the random share makes up.
    take(table.popular[: counts.popular + len(exclude)].tolist(), counts.popular)
    known = [table.by_category[category] for category in top_categories if category in table.by_category]
    for place, rows in enumerate(known):
        share = counts.category // len(known) + (place < counts.category % len(known))
        take(rows[: share + len(chosen) + len(exclude)].tolist(), share)
    latest = table.shelf.newest[: 4 * counts.newest].tolist()
    take(draws.sample(latest, len(latest)), counts.newest)
    missing = counts.total - len(chosen)
    if 2 * missing >= len(table) - len(chosen) - len(exclude):
        rest = [row for row in range(len(table)) if row not in chosen]
        take(draws.sample(rest, len(rest)), missing)
        return list(chosen)
    while len(chosen) < counts.total:
        take([draws.randrange(len(table))], 1)
    return list(chosen)
