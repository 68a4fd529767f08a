from feature_store.batch import NewestRows, decode_rows, numbers_of
from springtide.contracts.codec import encode
from springtide.contracts.features import ITEM_NUMBERS, USER_NUMBERS, Entity, FeatureRow


def row(entity_id: str, time_ms: int, value: float = 0.0, entity: Entity = "user") -> FeatureRow:
    return FeatureRow(entity=entity, entity_id=entity_id, event_time_ms=time_ms, values={"clicks_1d": value})


def test_an_older_row_never_follows_a_newer_one() -> None:
    newest = NewestRows()
    assert newest.select([row("u1", 20), row("u1", 10)]) == [row("u1", 20)]
    assert newest.select([row("u1", 19), row("u2", 5)]) == [row("u2", 5)]
    assert newest.select([row("u1", 21)]) == [row("u1", 21)]


def test_of_two_rows_of_one_instant_the_later_arrival_counts() -> None:
    newest = NewestRows()
    assert newest.select([row("u1", 20, 1.0), row("u1", 20, 2.0)]) == [row("u1", 20, 2.0)]
    assert newest.select([row("u1", 20, 3.0)]) == [row("u1", 20, 3.0)]


def test_a_user_and_an_item_of_one_name_are_two() -> None:
    newest = NewestRows()
    assert len(newest.select([row("7", 20), row("7", 10, entity="item")])) == 2


def test_what_was_stored_before_a_restart_guards_too() -> None:
    newest = NewestRows()
    newest.remember("user", "u1", 30)
    newest.remember("user", "u1", 20)
    assert newest.select([row("u1", 29)]) == []


def test_numbers_are_in_the_order_of_their_names() -> None:
    user = FeatureRow(entity="user", entity_id="u", event_time_ms=5, values={"last_click_ms": 4.0, "clicks_1d": 2.0})
    named = dict(zip(USER_NUMBERS, numbers_of(user), strict=True))
    assert named["feature_time_ms"] == 5
    assert named["last_click_ms"] == 4
    assert named["clicks_1d"] == 2
    assert named["carts_1h"] == 0
    assert len(numbers_of(row("i", 5, entity="item"))) == len(ITEM_NUMBERS)


def test_a_bad_message_is_refused_with_its_place_and_a_tombstone_passes() -> None:
    decoded = decode_rows([encode(row("u1", 1)), b"{", None, encode(row("u2", 2))], "features")
    assert [entry.entity_id for entry in decoded.rows] == ["u1", "u2"]
    [(position, detail)] = decoded.refused
    assert position == 1
    assert detail.startswith("features: expected FeatureRow, got b'{'")
