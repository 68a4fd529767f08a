"""All items that may be recommended with their features, as one immutable snapshot of arrays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.features import COUNTS, ITEM_FEATURES

POPULARITY_WEIGHTS: Final[dict[str, float]] = {
    "clicks_1d": 1.0, "carts_1d": 3.0, "purchases_1d": 6.0,
    "clicks_7d": 0.2, "carts_7d": 0.6, "purchases_7d": 1.2,
}  # fmt: skip
"""Worth of one behaviour in an item's popularity; today's count more than the week's."""

_WEIGHTS: Final = np.array([POPULARITY_WEIGHTS.get(name, 0.0) for name in COUNTS])

Indices = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """The N available items of the catalogue in id order; changes only when the catalogue does."""

    ids: tuple[str, ...]
    place: Mapping[str, int]
    """Item id to its index."""
    categories: tuple[str, ...]
    price: NDArray[np.float64]
    """[N], in the shop's currency."""
    born_ms: NDArray[np.float64]
    """[N], event time."""
    groups: Mapping[str, Indices]
    """Category to its items."""
    newest: Indices
    """[N], latest born first; equals by id."""

    def __len__(self) -> int:
        return len(self.ids)


def build_shelf(items: Iterable[CatalogueItem]) -> Shelf:
    """Arrange the items that are available."""
    chosen = sorted((item for item in items if item.available), key=lambda item: item.item_id)
    members: dict[str, list[int]] = {}
    for index, item in enumerate(chosen):
        members.setdefault(item.category, []).append(index)
    born = np.array([float(item.born_ms) for item in chosen])
    return Shelf(
        ids=tuple(item.item_id for item in chosen),
        place={item.item_id: index for index, item in enumerate(chosen)},
        categories=tuple(item.category for item in chosen),
        price=np.array([item.price for item in chosen]),
        born_ms=born,
        groups={category: np.array(indices, np.intp) for category, indices in members.items()},
        newest=np.argsort(-born, kind="stable"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemTable:
    """A shelf with its items' features; index i of every array is item `shelf.ids[i]`."""

    shelf: Shelf
    features: NDArray[np.float64]
    """[N, len(ITEM_FEATURES)], raw values."""
    popularity: NDArray[np.float64]
    """[N], weighted behaviours of the last day and week."""
    popular: Indices
    """[N], most popular first; equals by id."""
    by_category: Mapping[str, Indices]
    """Per category its items, most popular first."""

    def __len__(self) -> int:
        return len(self.shelf)


def build_item_table(shelf: Shelf, counts: NDArray[np.float64]) -> ItemTable:
    """Put rolling counts beside the catalogue.

    Args:
        shelf: N items.
        counts: [N, len(COUNTS)], 0 where nothing is known.
    """
    popularity = counts @ _WEIGHTS
    columns = {name: counts[:, column] for column, name in enumerate(COUNTS)}
    columns |= {"price": shelf.price, "born_ms": shelf.born_ms}
    return ItemTable(
        shelf=shelf,
        features=np.stack([columns[name] for name in ITEM_FEATURES], axis=1),
        popularity=popularity,
        popular=np.argsort(-popularity, kind="stable"),
        by_category={
            category: indices[np.argsort(-popularity[indices], kind="stable")]
            for category, indices in shelf.groups.items()
        },
    )
