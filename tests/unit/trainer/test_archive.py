"""The archive: a day comes back as it was, whole or not at all, each row once."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from springtide.contracts.errors import StateError
from springtide.contracts.events import SlateFeatures
from springtide.contracts.samples import Sample
from trainer.archive import Archive, archive_root
from trainer.day_rows import archived_day

DAY_MS = 86_400_000
FEATURES = SlateFeatures(version=1, feature_time_ms=5, item={"price": [0.1 + 0.2, 1e-300]}, top_category_shares=[1 / 3])


def fill(archive: Archive, day: int, rows: list[Sample]) -> None:
    parts = [archive.write_part(day, partition, rows[partition::2]) for partition in range(2)]
    archive.close_day(day, "logged", parts)


@pytest.fixture
def rows(sample: Callable[..., Sample]) -> list[Sample]:
    return [sample(f"r{number}", "final", time_ms=9 * DAY_MS, features=FEATURES) for number in range(7)]


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_day_comes_back_as_it_was_by_ascending_row_id(kind: str, tmp_path: Path, rows: list[Sample]) -> None:
    root = str(tmp_path / "a") if kind == "folder" else f"memory://{uuid4()}"
    archive = Archive(root)
    assert archive.days() == []
    fill(archive, 9, rows[::-1])
    again = Archive(root)
    assert again.days() == [9]
    day = again.read_day(9)
    assert (day.rows, day.features, [part.partition for part in day.parts]) == (14, "logged", [0, 1])
    read = archived_day(again, 9, day.parts)
    assert sorted(read.samples, key=lambda row: row.row_id) == rows
    assert [again.read_part(9, part) for part in day.parts] == [rows[0::2], rows[1::2]]
    assert read.of_partition(1) == rows[1::2]
    assert (read.report.slates, read.report.rows) == (7, 14)


def test_a_day_that_is_learned_once_more_takes_the_place_of_the_first(tmp_path: Path, rows: list[Sample]) -> None:
    archive = Archive(str(tmp_path))
    fill(archive, 9, rows[:5])
    before = {path.name for path in (tmp_path / "1970-01-10").iterdir()}
    fill(archive, 9, rows[:5])
    assert {path.name for path in (tmp_path / "1970-01-10").iterdir()} == before
    fill(archive, 9, rows)
    files = {path.name for path in (tmp_path / "1970-01-10").iterdir()}
    assert files == {"day.json", *(part.file for part in archive.read_day(9).parts)}
    read = archived_day(archive, 9, archive.read_day(9).parts)
    assert len({row.row_id for row in read.samples}) == len(read.samples) == 7


def test_a_day_that_was_not_closed_is_none(tmp_path: Path, rows: list[Sample]) -> None:
    archive = Archive(str(tmp_path))
    archive.write_part(9, 0, rows)
    assert archive.days() == []
    with pytest.raises(StateError, match=r"archive 1970-01-10: expected day\.json"):
        archive.read_day(9)


def test_damage_is_found_and_named(tmp_path: Path, rows: list[Sample]) -> None:
    archive = Archive(str(tmp_path))
    fill(archive, 9, rows)
    (part, lost) = archive.read_day(9).parts
    path = tmp_path / "1970-01-10" / part.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StateError, match=f"expected {part.file} with its sha256"):
        archive.read_part(9, part)
    (tmp_path / "1970-01-10" / lost.file).unlink()
    with pytest.raises(StateError, match=f"expected {lost.file} in"):
        archive.read_part(9, lost)
    manifest = tmp_path / "1970-01-10" / "day.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(StateError, match="expected format 1, got 2"):
        archive.read_day(9)
    manifest.write_bytes(manifest.read_bytes()[:20])
    with pytest.raises(StateError, match=r"expected day\.json"):
        archive.read_day(9)


def test_old_days_go_by_event_time_where_asked(tmp_path: Path, rows: list[Sample]) -> None:
    everything, bounded = Archive(str(tmp_path / "all")), Archive(str(tmp_path / "two"), keep_ms=2 * DAY_MS)
    for archive in (everything, bounded):
        for day in (3, 4, 5, 6):
            fill(archive, day, rows)
    assert everything.days() == [3, 4, 5, 6]
    assert bounded.days() == [5, 6]


def test_any_parquet_reader_can_look_into_a_part(tmp_path: Path, rows: list[Sample]) -> None:
    archive = Archive(str(tmp_path))
    fill(archive, 9, rows)
    (first, _) = archive.read_day(9).parts
    table = pq.read_table(tmp_path / "1970-01-10" / first.file)
    assert table["row_id"].to_pylist() == [row.row_id for row in rows[0::2]]
    assert table["impression_time_ms"].to_pylist() == [9 * DAY_MS] * 4


@pytest.mark.parametrize(
    ("setting", "root"), [("", ""), ("s3://b/k", "s3://b/k"), ("archive", "/state/archive"), ("/else", "/else")]
)
def test_the_root_is_a_url_or_lies_beneath_the_state(setting: str, root: str) -> None:
    assert archive_root(setting, Path("/state")) == root
