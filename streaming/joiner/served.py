"""A `served` event, read only as far as the joiner needs it: columns stay the JSON that they came as.

Rows pass most of a slate through unchanged, so its numbers are neither parsed nor written again. That they are
numbers, one per item in each column, is checked by shape: what is left of the JSON once digits are taken out. Events
of one producer have few shapes; each is checked once by decoding an event of it whole, and known from then on.
"""

from typing import Final

import msgspec

from springtide.contracts.codec import encode, event_decoder
from springtide.contracts.events import Cart, Click, Context, Event, Impression, Purchase, Refund, Served, Tick


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
    scores: msgspec.Raw = msgspec.Raw(b"{}")
    propensities: msgspec.Raw = msgspec.Raw(b"[]")
    features: msgspec.Raw = msgspec.Raw(b"null")


AnyInput = ServedSlate | Impression | Click | Cart | Purchase | Refund | Tick

input_decoder: Final = msgspec.json.Decoder(AnyInput)
_columns_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
MOST_ORIGINS: Final = 4096
MOST_SHAPES: Final = 4096
_NUMBERS: Final = b"0123456789+-.eE"


class Shapes:
    """The shapes of the columns that were found good.

    Equal shapes have equal keys but for digits, and numbers, texts and list ends in equal places; so what was found
    good of one event holds for all of its shape.
    """

    def __init__(self) -> None:
        self._good: set[bytes] = set()

    def problem(self, event: ServedSlate, value: bytes) -> str:
        """Say what is wrong with an event's columns; empty when nothing is.

        Raises:
            msgspec.DecodeError: a column holds something else than it should.
        """
        columns = b"%b%b%b" % (event.scores, event.propensities, event.features)
        shape = b"%d%b" % (len(event.item_ids), columns.translate(None, _NUMBERS))
        if shape in self._good:
            return ""
        problem = column_problem(value)
        if not problem:
            if len(self._good) >= MOST_SHAPES:
                self._good.clear()
            self._good.add(shape)
        return problem


class _Origin(msgspec.Struct, frozen=True):
    """The part of a row that many slates share."""

    experiment: str
    arm: str
    other_arms: dict[str, str]
    model_version: str
    fallback: str
    context: Context


class Origins:
    """Who decided a slate, as a piece of JSON; one object for all slates of equal origin."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], bytes] = {}

    def of(self, event: ServedSlate) -> bytes:
        """Give an event's."""
        arms = tuple(event.other_arms.items())
        name = (event.experiment, event.arm, arms, event.model_version, event.fallback, event.context)
        origin = self._known.get(name)
        if origin is None:
            if len(self._known) >= MOST_ORIGINS:  # of models long gone; slates keep theirs
                self._known.clear()
            whole = _Origin(
                event.experiment, event.arm, event.other_arms, event.model_version, event.fallback, event.context
            )
            origin = self._known[name] = encode(whole)[1:-1]
        return origin


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


def pick_column(column: bytes, indices: list[int]) -> bytes:
    """Cut some items' values out of a JSON column of numbers; an empty column stays empty."""
    values = column.strip()[1:-1].split(b",")
    if len(values) == 1 and not values[0].strip():
        return b"[]"
    return b"[" + b",".join([values[index] for index in indices]) + b"]"


def pick_columns(columns: bytes, indices: list[int]) -> bytes:
    """Cut some items' values out of a JSON object of columns."""
    picked = _columns_decoder.decode(columns)
    return encode({name: msgspec.Raw(pick_column(bytes(column), indices)) for name, column in picked.items()})


def pick_features(features: bytes, indices: list[int]) -> bytes:
    """Cut some items' values out of a slate's features."""
    whole = _features_decoder.decode(features)
    if whole is None:
        return features
    categories = [whole.item_category[index] for index in indices] if whole.item_category else []
    item = {name: msgspec.Raw(pick_column(bytes(column), indices)) for name, column in whole.item.items()}
    return encode(msgspec.structs.replace(whole, item=item, item_category=categories))


class _Features(msgspec.Struct, frozen=True, kw_only=True):
    """SlateFeatures, of which only the columns per item are looked into."""

    version: msgspec.Raw
    feature_time_ms: msgspec.Raw
    user: msgspec.Raw = msgspec.Raw(b"{}")
    top_categories: msgspec.Raw = msgspec.Raw(b"[]")
    top_category_shares: msgspec.Raw = msgspec.Raw(b"[]")
    recent_items: msgspec.Raw = msgspec.Raw(b"[]")
    recent_behaviours: msgspec.Raw = msgspec.Raw(b"[]")
    item: dict[str, msgspec.Raw] = {}
    item_category: list[str] = []


_features_decoder: Final = msgspec.json.Decoder(_Features | None)
