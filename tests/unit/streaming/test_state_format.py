"""State of another version, or of another program, is refused with its entry and what to do; state of old is read."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from springtide.contracts.errors import ExitCode
from springtide.contracts.events import Click, Purchase
from streaming.config import FeaturesConfig
from streaming.core import Core, Record, Write
from streaming.features.item_job import ItemFeatures
from streaming.features.state import Partial, User
from streaming.features.user_events import take_label
from streaming.features.user_job import UserFeatures
from streaming.features.user_row import user_row
from streaming.joiner.state import PACK
from streaming.state_format import FormatError
from tests.oracles.joiner_story import T0, Story, label, make_joiner, served, shown
from tests.oracles.streams import LABELS


def make_users() -> UserFeatures:
    return UserFeatures(
        partition=0, partitions=1, labels=LABELS, config=FeaturesConfig(trigger_records=1), outlier_run=3,
        catalogue=lambda _: None,
    )  # fmt: skip


def make_items() -> ItemFeatures:
    return ItemFeatures(partition=0, partitions=1, config=FeaturesConfig(trigger_records=1))


def after(core: Core, *values: bytes) -> dict[bytes, bytes]:
    """Give the entries of a core that has taken these records, one trigger each."""
    writes: list[Write] = []
    for offset, value in enumerate(values):
        assert core.merge(Record(offset, b"u1", value))
        core.collect()
        writes += core.settle(offset)
    return {write.key: write.value for write in writes if write.value is not None}


def entries_of(job: str) -> dict[bytes, bytes]:
    if job == "joiner":
        stray = label(Purchase, T0 + 9, request="", price=2.0)
        return Story(make_joiner(trigger_records=1)).tell(served(), shown(), label(Click, T0 + 5), stray).table
    if job == "features":
        return after(make_users(), msgspec.json.encode(served()), msgspec.json.encode(shown()))
    return after(make_items(), PACK(Partial(0, 0, {T0: {"i0": [1, 0, 0, 0]}})))


MAKE: Mapping[str, Any] = {
    "joiner": lambda: make_joiner(trigger_records=1),
    "features": make_users,
    "item-features": make_items,
}
JOBS = pytest.mark.parametrize("job", list(MAKE))


def refusal(job: str, entries: Mapping[bytes, bytes]) -> str:
    with pytest.raises(FormatError) as raised:
        MAKE[job]().restore(entries)
    assert raised.value.exit_code == ExitCode.CHANGELOG_FORMAT
    text = str(raised.value)
    assert "expected" in text
    assert "got" in text
    assert "delete this topic" in text
    return text


@JOBS
def test_what_a_job_writes_it_restores(job: str) -> None:
    core = MAKE[job]()
    core.restore(entries_of(job))
    assert core.applied >= 0


@JOBS
def test_a_meta_entry_without_a_format_is_of_the_first(job: str) -> None:
    """As written before there were formats."""
    entries = entries_of(job)
    meta = msgspec.msgpack.decode(entries[b"0/m"])
    assert meta.pop() == 1
    core = MAKE[job]()
    core.restore({**entries, b"0/m": PACK(meta)})
    assert core.applied >= 0


def test_a_user_of_a_release_without_behaviours_has_them_untold() -> None:
    old = msgspec.msgpack.decode(PACK([{}, {}, {}, [(1, "i1"), (2, "i2")], 0]), type=User)
    assert old.sequence() == [(1, "i1", 0), (2, "i2", 0)]
    bought = label(Purchase, 3, request="")
    assert isinstance(bought, Purchase)
    take_label(old, bought, 3_600_000, lambda _: None)
    assert old.sequence() == [(1, "i1", 0), (2, "i2", 0), (3, "i0", 3)]
    row = user_row("u1", old, 4)
    assert row.recent_items == ["i1", "i2", "i0"]
    assert row.recent_behaviours == ["", "", "purchase"]


@JOBS
def test_another_format_is_refused(job: str) -> None:
    entries = entries_of(job)
    meta = [*msgspec.msgpack.decode(entries[b"0/m"])[:-1], 2, "a field of later"]
    assert "b'0/m': expected state of format 1, got format 2" in refusal(job, {**entries, b"0/m": PACK(meta)})


@JOBS
@pytest.mark.parametrize("value", [b"\xc1", b"", b"{}", PACK({"a": 1}), PACK(["x"])])
def test_an_entry_that_cannot_be_read_is_refused_whichever_it_is(job: str, value: bytes) -> None:
    entries = entries_of(job)
    assert len(entries) >= 2
    for key in entries:
        assert repr(key) in refusal(job, {**entries, key: value})


@JOBS
@pytest.mark.parametrize("key", [b"0/s/slate", b"1/m", b"m", b"\xff", b"0/m/x"])
def test_a_foreign_key_is_refused(job: str, key: bytes) -> None:
    assert repr(key) in refusal(job, {**entries_of(job), key: b"x"})
