"""The lock file of the broker's jars: one `sha256  group:artifact:version` a line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import ChecksumError

LOCK_FILE = Path(__file__).with_name("jars.lock")

_LINE = re.compile(r"^(?P<sha256>[0-9a-f]{64})  (?P<coordinate>[^:\s]+:[^:\s]+:[^:\s]+)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedJar:
    """One jar and the digest it must have."""

    coordinate: str
    """Maven's `group:artifact:version`."""

    sha256: str
    """Lower-case hex digest of the jar's bytes."""

    @property
    def file_name(self) -> str:
        """The jar's name in our cache; the group keeps equal artifact names apart."""
        return self.coordinate.replace(":", "-") + ".jar"


def read_lock(path: Path = LOCK_FILE) -> list[LockedJar]:
    """Return the locked jars in class path order.

    Raises:
        ChecksumError: a line is not of the lock's form.
    """
    return list(_parse(path.read_text(encoding="utf-8").splitlines(), str(path)))


def write_lock(jars: Iterable[LockedJar], path: Path = LOCK_FILE) -> None:
    """Write the lock file anew."""
    head = "# Jars of the embedded broker; `python -m local_stack.broker.relock` writes this file.\n"
    body = "".join(f"{jar.sha256}  {jar.coordinate}\n" for jar in jars)
    path.write_text(head + body, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(lines: Iterable[str], where: str) -> Iterator[LockedJar]:
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise ChecksumError(
                f"{where}:{number}: expected `sha256  group:artifact:version`, got {line!r}; "
                "restore the file or run `make lock-jars`"
            )
        yield LockedJar(coordinate=found["coordinate"], sha256=found["sha256"])
