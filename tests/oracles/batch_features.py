"""Rolling features by brute force: count every unique event in every window, for one entity at one moment."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Purchase, Served
from springtide.contracts.features import FeatureRow

_HOUR = 3_600_000
_DAY = 24 * _HOUR
_WINDOWS = {"1h": 3_600_000, "1d": _DAY, "7d": 7 * _DAY}
_NAMES = {Click: "clicks", Cart: "carts", Purchase: "purchases"}


class FeatureOracle:
    """Knows all events; answers what an entity's row had to say at a moment."""

    def __init__(self, events: Iterable[AnyEvent], catalogue: Mapping[str, tuple[str, float]]) -> None:
        unique = {event.event_id: event for event in events}
        self._catalogue = catalogue
        slates = {event.request_id: event for event in unique.values() if isinstance(event, Served)}
        self._done: list[tuple[int, str, str, str]] = []
        shown: dict[tuple[str, int], int] = {}
        for event in unique.values():
            if isinstance(event, Impression):
                for position in event.positions:
                    key = (event.request_id, position)
                    shown[key] = min(event.event_time_ms, shown.get(key, event.event_time_ms))
            elif isinstance(event, Click | Cart | Purchase):
                self._done.append((event.event_time_ms, event.user_id, event.item_id, _NAMES[type(event)]))
        for (request, position), time in shown.items():
            if request in slates:
                slate = slates[request]
                self._done.append((time, slate.user_id, slate.item_ids[position - 1], "impressions"))
        self._done.sort()

    def entities(self) -> set[tuple[str, str]]:
        """Every entity that did or met anything."""
        return {("user", user) for _, user, _, _ in self._done} | {("item", item) for _, _, item, _ in self._done}

    def row(self, entity: str, entity_id: str, at_ms: int) -> FeatureRow:
        """Count everything strictly before `at_ms`."""
        column = 1 if entity == "user" else 2
        mine = [done for done in self._done if done[column] == entity_id and done[0] < at_ms]
        values = {
            f"{behaviour}_{name}": float(sum(1 for d in mine if d[3] == behaviour and d[0] >= at_ms - width))
            for behaviour in ("impressions", "clicks", "carts", "purchases")
            for name, width in _WINDOWS.items()
        }
        if entity == "item":
            return FeatureRow(entity="item", entity_id=entity_id, event_time_ms=at_ms, values=values)
        week = [done for done in mine if done[0] >= at_ms - 7 * _DAY]
        clicks = [done for done in week if done[3] == "clicks"]
        known = [self._catalogue[done[2]] for done in clicks if done[2] in self._catalogue]
        values["last_click_ms"] = float(max((done[0] for done in clicks), default=0))
        values["mean_clicked_price_7d"] = sum(price for _, price in known) / len(known) if known else 0.0
        counts = Counter(category for category, _ in known)
        top = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:8]
        order = list(_NAMES.values())  # at one moment on one item: click, cart, purchase
        recent = sorted((d[0], d[2], order.index(d[3])) for d in mine if d[3] != "impressions")[-20:]
        return FeatureRow(
            entity="user",
            entity_id=entity_id,
            event_time_ms=at_ms,
            values=values,
            top_categories=[category for category, _ in top],
            top_category_shares=[count / len(known) for _, count in top],
            recent_items=[item for _, item, _ in recent],
            recent_behaviours=[order[behaviour].removesuffix("s") for _, _, behaviour in recent],
        )


def decode_rows(messages: Iterable[tuple[bytes, bytes]]) -> list[FeatureRow]:
    """Decode rows and check their keys."""
    rows = []
    for key, value in messages:
        row = msgspec.json.decode(value, type=FeatureRow)
        assert key == f"{row.entity}:{row.entity_id}".encode()
        rows.append(row)
    return rows


def check_rows(events: list[AnyEvent], catalogue: Mapping[str, tuple[str, float]], rows: Iterable[FeatureRow]) -> int:
    """Compare every row, and at every hour the newest row of every entity, with a brute-force count."""
    by_entity: dict[tuple[str, str], dict[int, FeatureRow]] = {}
    for row in rows:
        by_entity.setdefault((row.entity, row.entity_id), {})[row.event_time_ms] = row
    oracle, checked = FeatureOracle(events, catalogue), 0
    start = events[0].event_time_ms - events[0].event_time_ms % _HOUR
    assert set(by_entity) == oracle.entities()
    for (entity, entity_id), by_time in by_entity.items():
        for at_ms, row in by_time.items():
            _agree(row, oracle.row(entity, entity_id, at_ms))
            checked += 1
        for at_ms in [*range(start + _HOUR, start + 30 * _HOUR, _HOUR), start + 8 * _DAY]:
            said = [by_time[time] for time in sorted(by_time) if time <= at_ms]
            wanted = oracle.row(entity, entity_id, at_ms)
            if said:
                _agree(said[-1], wanted)
            else:
                assert not any(wanted.values.values()), f"no row yet, but {wanted}"
    return checked


def _agree(row: FeatureRow, wanted: FeatureRow) -> None:
    price = "mean_clicked_price_7d"
    assert math.isclose(row.values.get(price, 0.0), wanted.values.get(price, 0.0)), (row, wanted)
    assert {**row.values, price: 0.0} == {**wanted.values, price: 0.0}, (row, wanted)
    assert row.top_categories == wanted.top_categories
    assert row.top_category_shares == wanted.top_category_shares
    # After seven quiet days a user is forgotten; the last row keeps the sequence it had.
    told = (row.recent_items, row.recent_behaviours) == (wanted.recent_items, wanted.recent_behaviours)
    assert told or not any(v for k, v in wanted.values.items() if k.endswith("_7d"))
