"""Which entries of a changelog a core can read; with any other it must not begin.

Each job's layout has a number, which the partition's own entry carries. The number goes up when entries change so that
an older version could not read them, or a newer one would read the old ones wrongly; a field added at the end of an
entry, with a default, changes nothing.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from springtide.contracts.errors import ExitCode, StateError

T = TypeVar("T")

_DO: Final = (
    "start the version that wrote it; or rebuild state: delete this topic and the consumer group, and start afresh "
    "from the input (docs/joiner.md, Changing the schema)"
)


class FormatError(StateError):
    """A changelog holds what this version does not know, or what another program wrote."""

    exit_code = ExitCode.CHANGELOG_FORMAT


def check_keys(entries: Iterable[bytes], partition: int, pattern: str) -> None:
    """See that every key is one of the job's.

    Args:
        entries: keys.
        partition: every key begins with it and a slash.
        pattern: regular expression of all that may follow.

    Raises:
        FormatError: one is not.
    """
    known = re.compile(f"{partition}/(?:{pattern})".encode(), re.DOTALL)
    for key in entries:
        if not known.fullmatch(key):
            raise FormatError(f"entry {key!r}: expected a key like {partition}/({pattern}), got another; {_DO}")


def check_format(key: bytes, found: int, known: int) -> None:
    """See that the partition's own entry has the known format.

    Raises:
        FormatError: it has not.
    """
    if found != known:
        raise FormatError(f"entry {key!r}: expected state of format {known}, got format {found}; {_DO}")


def read_entry(decoder: msgspec.msgpack.Decoder[T], key: bytes, value: bytes) -> T:
    """Decode an entry.

    Raises:
        FormatError: it is none.
    """
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wanted = getattr(decoder.type, "__name__", decoder.type)
        raise FormatError(f"entry {key!r}: expected a {wanted}, got {error}; {_DO}") from error
