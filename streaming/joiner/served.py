"""A `served` event, read only as far as the joiner needs it: columns stay the JSON bytes that they came as.

Rows pass most of a slate through unchanged, so numbers are neither parsed nor written again. Whether columns are
lists of numbers, one per item, is seen from what remains of their bytes when all digits are taken out.
"""

from typing import Final

import msgspec

from springtide.contracts.codec import event_decoder
from springtide.contracts.events import Cart, Click, Context, Event, Impression, Purchase, Refund, Served, Tick
from springtide.contracts.tasks import Task


class ServedFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """SlateFeatures with item columns as bytes."""

    version: int
    feature_time_ms: int
    user: dict[str, float] = {}
    top_categories: list[str] = []
    top_category_shares: list[float] = []
    recent_items: list[str] = []
    item: dict[str, msgspec.Raw] = {}
    item_category: list[str] = []


class ServedSlate(Event, frozen=True, kw_only=True, tag="served"):
    """Served with columns as bytes."""

    request_id: str
    experiment: str
    arm: str
    other_arms: dict[str, str] = {}
    model_version: str
    policy: str
    fallback: str = ""
    context: Context = Context()
    item_ids: list[str]
    scores: dict[Task, msgspec.Raw] = {}
    fused_scores: msgspec.Raw = msgspec.Raw(b"[]")
    propensities: msgspec.Raw = msgspec.Raw(b"[]")
    features: ServedFeatures | None = None


AnyInput = ServedSlate | Impression | Click | Cart | Purchase | Refund | Tick

input_decoder: Final = msgspec.json.Decoder(AnyInput)
_columns_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IN_NUMBERS: Final = b"0123456789+-.eE \t\r\n"


def columns_fit(event: ServedSlate) -> bool:
    """Say whether every column surely holds one number per item; false: look closer with `column_problem`."""
    count, features = len(event.item_ids), event.features
    columns = [column for column in (event.fused_scores, event.propensities) if bytes(column) != b"[]"]
    columns.extend(event.scores.values())
    if features is not None:
        columns.extend(features.item.values())
        if len(features.item_category) not in (0, count):
            return False
    skeleton = b"[" + b"," * (count - 1) + b"]"
    return b"".join(columns).translate(None, _IN_NUMBERS) == skeleton * len(columns)


def column_problem(value: bytes) -> str:
    """Decode a `served` event whole, and say what is wrong with its columns; empty when nothing is.

    Rows can only be cut from whole columns.

    Raises:
        msgspec.DecodeError: a column holds something else than numbers.
    """
    served = event_decoder.decode(value)
    assert isinstance(served, Served)
    columns: dict[str, list[float] | list[str]] = {f"scores.{task}": column for task, column in served.scores.items()}
    columns["propensities"] = served.propensities
    if served.features is not None:
        columns |= {f"features.item.{name}": column for name, column in served.features.item.items()}
        columns["features.item_category"] = served.features.item_category
    count = len(served.item_ids)
    for name, column in columns.items():
        if column and len(column) != count:
            return f"{name}: expected {count} values, one per item, got {len(column)}"
    return ""


def pick_column(column: bytes | msgspec.Raw, indices: list[int]) -> msgspec.Raw:
    """Cut some items' values out of a JSON column of numbers; an empty column stays empty."""
    values = bytes(column).strip()[1:-1].split(b",")
    if len(values) == 1 and not values[0].strip():
        return msgspec.Raw(b"[]")
    return msgspec.Raw(b"[" + b",".join([values[index] for index in indices]) + b"]")


def pick_columns(columns: bytes, indices: list[int]) -> dict[str, msgspec.Raw]:
    """Cut some items' values out of a JSON object of columns."""
    return {name: pick_column(column, indices) for name, column in _columns_decoder.decode(columns).items()}
