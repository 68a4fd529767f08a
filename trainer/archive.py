"""Final rows as the daily chain learned them, day by day, for longer than the topic keeps them.

`{root}/{2026-01-05}/part-{partition}-{digest}.parquet` holds one partition's slates by ascending row id, each row id
once: columns to look into, and the slate itself as JSON of topic `samples`. `day.json` names the parts with their
checksums and is put in place last, so a day is there whole or not at all. A part's name follows from its content: a day
that is learned once more after a crash gives the same files. The root is a folder or any URL that fsspec reads.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from springtide.contracts.codec import encode
from springtide.contracts.errors import StateError
from springtide.contracts.samples import Sample
from trainer.days import day_end_ms, day_number, day_text

MANIFEST: Final = "day.json"
FORMAT: Final = 1

_decoder = msgspec.json.Decoder(Sample)


class ArchivedPart(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of one day."""

    partition: int
    file: str
    slates: int
    rows: int
    """Items over all slates."""
    sha256: str


class ArchivedDay(msgspec.Struct, frozen=True, kw_only=True):
    """What a day's folder holds."""

    format: int = FORMAT
    day: int
    features: str
    """Whose features the slates carry: `trainer.daily_features` at the time."""
    parts: list[ArchivedPart]

    @property
    def rows(self) -> int:
        """Items over all parts."""
        return sum(part.rows for part in self.parts)


class Archive:
    """All archived days beneath one root; days are numbered since 1970.

    Args:
        root: folder or URL; is made where it is missing.
        keep_ms: event time behind the newest day for which days stay; 0 keeps all.
    """

    def __init__(self, root: str, keep_ms: int = 0) -> None:
        self.root, self._keep_ms = root, keep_ms
        self._files: Any
        self._files, self._folder = fsspec.core.url_to_fs(root)

    def write_part(self, day: int, partition: int, samples: Iterable[Sample]) -> ArchivedPart:
        """Write one partition's final rows of a day; nobody sees them before `close_day`.

        Raises:
            StateError: they cannot be written.
        """
        ordered = sorted(samples, key=lambda sample: sample.row_id)
        content = _parquet(ordered)
        digest = hashlib.sha256(content).hexdigest()
        file = f"part-{partition}-{digest[:16]}.parquet"
        self._write(self._path(day, file), content)
        rows = sum(len(sample.item_ids) for sample in ordered)
        return ArchivedPart(partition=partition, file=file, slates=len(ordered), rows=rows, sha256=digest)

    def close_day(self, day: int, features: str, parts: Sequence[ArchivedPart]) -> None:
        """Make the parts the day, in place of what an earlier attempt wrote.

        Raises:
            StateError: the day cannot be written.
        """
        ordered = sorted(parts, key=lambda part: part.partition)
        content = msgspec.json.encode(ArchivedDay(day=day, features=features, parts=ordered))
        beside, final = self._path(day, f"{MANIFEST}.new"), self._path(day, MANIFEST)
        self._write(beside, content)
        self._files.mv(beside, final)
        kept = {MANIFEST, *(part.file for part in ordered)}
        for path in self._files.ls(self._path(day), detail=False):
            if Path(path).name not in kept:
                self._files.rm(path)
        for old in self.days() if self._keep_ms else ():
            if day_end_ms(old) + self._keep_ms <= day_end_ms(day):
                self._files.rm(self._path(old), recursive=True)

    def days(self) -> list[int]:
        """Return the days that are whole, ascending."""
        found = self._files.glob(f"{self._folder}/*/{MANIFEST}")
        return sorted(day_number(Path(path).parent.name) for path in found)

    def read_day(self, day: int) -> ArchivedDay:
        """Return what is archived of a day.

        Raises:
            StateError: nothing is, or its manifest is damaged or of another format.
        """
        where = f"archive {day_text(day)}"
        try:
            found = msgspec.json.decode(self._files.cat_file(self._path(day, MANIFEST)), type=ArchivedDay)
        except (OSError, msgspec.DecodeError) as error:
            raise StateError(f"{where}: expected {MANIFEST} in {self.root}, got {error}; restore it") from error
        if found.format != FORMAT:
            raise StateError(f"{where}: expected format {FORMAT}, got {found.format}; use the release that wrote it")
        return found

    def read_part(self, day: int, part: ArchivedPart) -> list[Sample]:
        """Return one partition's slates, by ascending row id.

        Raises:
            StateError: the file is missing or is not the one that was written.
        """
        where = f"archive {day_text(day)}"
        try:
            content = self._files.cat_file(self._path(day, part.file))
        except OSError as error:
            raise StateError(f"{where}: expected {part.file} in {self.root}, got {error}; restore it") from error
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise StateError(f"{where}: expected {part.file} with its sha256, got another; restore it")
        column = pq.read_table(io.BytesIO(content), columns=["sample"])["sample"]
        return [_decoder.decode(value.as_py()) for value in column]

    def _path(self, day: int, file: str = "") -> str:
        return f"{self._folder}/{day_text(day)}" + (f"/{file}" if file else "")

    def _write(self, path: str, content: bytes) -> None:
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, content)
        except OSError as error:
            raise StateError(
                f"archive: expected room for {len(content):,} bytes of {path}, got {error}; "
                "free some, or set trainer.archive to another place"
            ) from error


def archive_root(setting: str, state_folder: Path) -> str:
    """Return the root that `trainer.archive` names: a URL, or a folder beneath the state folder unless absolute."""
    if not setting:
        return ""
    return setting if "://" in setting else str((state_folder / setting).absolute())


def _parquet(samples: Sequence[Sample]) -> bytes:
    table = pa.table(
        {
            "row_id": pa.array([sample.row_id for sample in samples], pa.string()),
            "request_id": pa.array([sample.request_id for sample in samples], pa.string()),
            "user_id": pa.array([sample.user_id for sample in samples], pa.string()),
            "impression_time_ms": pa.array([sample.impression_time_ms for sample in samples], pa.int64()),
            "sample": pa.array([encode(sample) for sample in samples], pa.binary()),
        }
    )
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()
