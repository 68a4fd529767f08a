from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_store.offline import OfflineWriter
from springtide.contracts.features import FEAST_EVENT_TIME, FEAST_USER_VIEW, FeatureRow
from springtide.contracts.topics import DAY_MS
from springtide.feature_join.offline_rows import list_files, read_rows

DAY = 20_000 * DAY_MS


def user(time_ms: int, recent: str = "i1", entity_id: str = "u1") -> FeatureRow:
    return FeatureRow(
        entity="user", entity_id=entity_id, event_time_ms=time_ms, values={}, recent_items=[recent],
        recent_behaviours=["cart"],
    )  # fmt: skip


def writer(folder: Path, compact_files: int = 4, retention_ms: int = 0) -> OfflineWriter:
    return OfflineWriter(folder, compact_files=compact_files, compact_rows=100, retention_ms=retention_ms)


def stored(folder: Path, first_ms: int = DAY, last_ms: int = DAY + 10 * DAY_MS) -> list[str]:
    table = read_rows(folder / FEAST_USER_VIEW, first_ms, last_ms, ["recent_items"])
    return [] if table is None else [item for [item] in table["recent_items"].to_pylist()]


def test_rows_lie_under_the_day_of_their_event_time(tmp_path: Path) -> None:
    writer(tmp_path).append([user(DAY + DAY_MS, "b"), user(DAY, "a"), user(DAY + DAY_MS - 1, "c")])
    assert stored(tmp_path) == ["a", "c", "b"]
    assert stored(tmp_path, DAY, DAY + DAY_MS - 1) == ["a", "c"]


def test_compaction_keeps_every_row_in_order_of_arrival(tmp_path: Path) -> None:
    store = writer(tmp_path)
    for number in range(11):
        store.append([user(DAY, str(number))])
    assert stored(tmp_path) == [str(number) for number in range(11)]
    assert len(list_files(tmp_path / FEAST_USER_VIEW, DAY, DAY)) < 4


def test_a_large_file_is_not_merged_again(tmp_path: Path) -> None:
    store = writer(tmp_path, compact_files=2)
    store.append([user(DAY, f"large{number}") for number in range(100)])
    large = list_files(tmp_path / FEAST_USER_VIEW, DAY, DAY)[0]
    before = large.stat().st_mtime_ns
    for number in range(5):
        store.append([user(DAY, str(number))])
    assert large.stat().st_mtime_ns == before
    assert stored(tmp_path)[-5:] == ["0", "1", "2", "3", "4"]


def test_rows_of_a_release_that_wrote_fewer_columns_stay_readable(tmp_path: Path) -> None:
    store = writer(tmp_path, compact_files=3)
    store.append([user(DAY, "old")])
    [path] = list_files(tmp_path / FEAST_USER_VIEW, DAY, DAY)
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["recent_behaviours"]), path)
    for name in ("before", "merged", "after"):  # alone, beside a new file, and compacted with others
        table = read_rows(tmp_path / FEAST_USER_VIEW, DAY, DAY, ["recent_items", "recent_behaviours"])
        assert table["recent_items"].to_pylist()[0] == ["old"]
        done = table["recent_behaviours"].to_pylist()
        assert done == [None] + [["cart"]] * (len(done) - 1)
        store.append([user(DAY, name)])
    assert len(list_files(tmp_path / FEAST_USER_VIEW, DAY, DAY)) < 4


@pytest.mark.parametrize("step", ["write", "rename", "remove"])
def test_a_kill_at_any_step_loses_nothing_and_shows_nothing_half(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    store = writer(tmp_path, compact_files=3)
    store.append([user(DAY, "a")])
    store.append([user(DAY, "b")])

    def die(*_: object, **__: object) -> None:
        raise Killed

    if step == "write":  # half a file on disk, never renamed
        monkeypatch.setattr("feature_store.offline._fsync", die)
    elif step == "rename":
        monkeypatch.setattr("feature_store.offline.os.replace", die)
    else:  # the merged file is there, the files it replaces are too
        monkeypatch.setattr(Path, "unlink", die)
    with pytest.raises(Killed):
        store.append([user(DAY, "c")])
    monkeypatch.undo()
    seen = stored(tmp_path)
    assert seen[:2] == ["a", "b"]
    assert seen[-1] == ("c" if step == "remove" else "b")
    store = writer(tmp_path, compact_files=3)  # the restart; the batch was never committed, so it comes again
    store.append([user(DAY, "c")])
    again = stored(tmp_path)
    assert list(dict.fromkeys(again)) == ["a", "b", "c"]
    assert again[-1] == "c"
    assert not list(tmp_path.glob("*/*/.*"))


def test_days_past_the_retention_are_dropped_whole(tmp_path: Path) -> None:
    store = writer(tmp_path, retention_ms=2 * DAY_MS)
    store.append([user(DAY + number * DAY_MS, str(number)) for number in range(5)])
    assert store.drop_old(DAY + 4 * DAY_MS) == 2
    assert stored(tmp_path) == ["2", "3", "4"]
    assert writer(tmp_path).drop_old(DAY + 99 * DAY_MS) == 0


def test_newest_times_are_found_again(tmp_path: Path) -> None:
    store = writer(tmp_path)
    store.append([user(DAY + 5), user(DAY + 3), user(DAY + DAY_MS, entity_id="u2")])
    newest: dict[str, int] = {}
    for _, entity_id, time_ms in writer(tmp_path).newest_times():
        newest[entity_id] = max(time_ms, newest.get(entity_id, 0))
    assert newest == {"u1": DAY + 5, "u2": DAY + DAY_MS}


def test_event_times_keep_their_milliseconds(tmp_path: Path) -> None:
    writer(tmp_path).append([user(DAY + 123)])
    [path] = list_files(tmp_path / FEAST_USER_VIEW, DAY, DAY)
    assert pq.read_table(path)[FEAST_EVENT_TIME].cast("int64").to_pylist() == [DAY + 123]


def test_a_reader_takes_the_list_anew_when_a_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = writer(tmp_path)
    store.append([user(DAY, "a")])
    read, calls = pq.read_table, []

    def vanish_once(path: Path, **more: object) -> object:
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(path)
        return read(path, **more)

    monkeypatch.setattr("springtide.feature_join.offline_rows.pq.read_table", vanish_once)
    assert stored(tmp_path) == ["a"]
    assert len(calls) == 2
