"""What serving used for the items of a final row, put together from the rows that carried it. Pure."""

from collections.abc import Sequence

import msgspec

from springtide.contracts.events import SlateFeatures
from springtide.contracts.samples import Sample


def logged_features(final: Sample, rows: Sequence[Sample]) -> SlateFeatures | None:
    """Return the features of the final row's items, or None where an item's are missing or the rows do not fit.

    Most often they are its observed row's. Where negatives are sampled a final row holds more items: those that had
    no label when they were observed, were left out, and gained one since. Their corrected rows bring theirs.

    Args:
        final: with N items.
        rows: observed and corrected, of the same request, each with features.
    """
    observed = [row for row in rows if row.phase == "observed"]
    if not observed or not set(observed[-1].item_ids) <= set(final.item_ids):
        return None
    whole = observed[-1]
    if whole.item_ids == final.item_ids:
        return whole.features
    found = {item: (row, place) for row in [*rows, whole] for place, item in enumerate(row.item_ids)}
    if not set(final.item_ids) <= set(found) or whole.features is None:
        return None
    places = [found[item] for item in final.item_ids]
    return msgspec.structs.replace(
        whole.features,
        item={
            name: [row.features.item[name][place] for row, place in places if row.features is not None]
            for name, column in whole.features.item.items()
            if column
        },
        item_category=[row.features.item_category[place] for row, place in places if row.features is not None]
        if whole.features.item_category
        else [],
    )
