"""Raw ids of any type as 64-bit words: N of them are hashed and compared without a Python loop, and exactly.

An integer is one word. Text is its length (16 bits) and its UTF-8 bytes, padded with zeros: two texts are equal when
and only when all their words are. Text longer than INLINE bytes has its SHA-256 in place of its bytes, and travels
beside. Shapes: N ids; W words each, held as W columns.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from springtide.contracts.errors import ShapeError

Kind = Literal["text", "integer"]
Words = NDArray[np.uint64]
Index = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

MOST_WORDS: Final = 5
INLINE: Final = 8 * MOST_WORDS - 2
"""Bytes of text held as they are; a UUID has 36."""
_LENGTH_BITS: Final = np.uint64(16)
_LENGTH: Final = np.uint64(0xFFFF)
_LONG: Final = 0xFFFF
_MASKS: Final = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_FACTORS: Final = np.array(
    [0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7, 0xF1357AEA2E62A9C5, 0xAEF17502108EF2D9], np.uint64
)
"""Odd, one a word, so that the order of the words counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ids:
    """N ids of one kind, packed."""

    kind: Kind
    words: tuple[Words, ...]
    """W columns of N words."""
    long: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """SHA-256 to text of what is longer than INLINE; may hold more than these ids."""

    def __len__(self) -> int:
        return len(self.words[0])

    def take(self, index: Index | slice) -> "Ids":
        """Return the ids at `index`, in its order."""
        return Ids(kind=self.kind, words=tuple(word[index] for word in self.words), long=self.long)

    def present(self) -> NDArray[np.bool_]:
        """Return False where an id is the empty text, which means none; bool (N,)."""
        return self.words[0] != 0 if self.kind == "text" else np.ones(len(self), np.bool_)

    def hashes(self) -> Words:
        """Return a hash of each id, uint64 (N,); words of zero add nothing, so that W does not matter."""
        total = _scrambled(self.words[0], 0)
        for place in range(1, len(self.words)):
            total += _scrambled(self.words[place], place)
        total ^= total >> np.uint64(32)
        return total

    def long_texts(self) -> dict[bytes, bytes]:
        """Return SHA-256 to text of those of these ids that are longer than INLINE."""
        if not self.long:
            return {}
        at = np.flatnonzero((self.words[0] & _LENGTH) == _LONG)
        digests = (row[2:34] for row in np.stack([word[at] for word in self.words], axis=1).view("V40")[:, 0].tolist())
        return {digest: self.long[digest] for digest in map(bytes, digests)}

    def to_arrays(self) -> Arrays:
        """Return `ids` and, of text, `offsets` (N + 1): plain arrays, as safetensors can hold them."""
        if self.kind == "integer":
            return {"ids": self.words[0].view(np.int64).copy()}
        lengths = (self.words[0] & _LENGTH).astype(np.int64)
        if (lengths == _LONG).any():
            return _of_texts(self._texts_one_by_one(lengths))
        bytes_NW = np.stack(self.words, axis=1).view(np.uint8)[:, 2:]
        offsets = np.zeros(len(self) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return {"ids": bytes_NW[np.arange(bytes_NW.shape[1]) < lengths[:, None]], "offsets": offsets}

    def to_list(self) -> list[Any]:
        """Return the ids as Python has them: str or int."""
        arrays = self.to_arrays()
        if self.kind == "integer":
            return list(arrays["ids"].tolist())
        parts = [None, pa.py_buffer(arrays["offsets"]), pa.py_buffer(arrays["ids"])]
        texts: list[str] = pa.Array.from_buffers(pa.large_string(), len(self), parts).to_pylist()
        return texts

    def _texts_one_by_one(self, lengths: Index) -> list[bytes]:
        rows = np.stack(self.words, axis=1).tobytes()
        width = 8 * len(self.words)
        bodies = (rows[start + 2 : start + width] for start in range(0, len(rows), width))
        return [
            self.long[body[:32]] if length == _LONG else body[:length]
            for body, length in zip(bodies, lengths.tolist(), strict=True)
        ]


RawIds = Sequence[str] | Sequence[bytes] | Sequence[int] | NDArray[Any] | Ids


def as_ids(raw: RawIds) -> Ids:
    """Pack ids: a sequence of str, bytes or int, an array of them, or an Arrow array (which is the fastest).

    Bytes and their UTF-8 text are the same id; an integer and its text are not.

    Raises:
        ShapeError: the ids are of several types, or of one that no id can have.
    """
    if isinstance(raw, Ids):
        return raw
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "iu":
        return _integers(raw)
    try:
        array = raw if isinstance(raw, pa.Array) else pa.array(raw, _arrow_type(raw))
        if pa.types.is_integer(array.type) and not array.null_count:
            return _integers(array.to_numpy(zero_copy_only=False))
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ShapeError(f"ids: expected all str, all bytes or all int64, got {error}; convert them") from error
    if not _is_text(array.type):
        raise ShapeError(f"ids: expected str, bytes or int64 without nulls, got {array.type}; convert them")
    wide = array.cast(pa.large_binary())
    _, offsets, blob = wide.buffers()
    bounds = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    return text_ids(np.frombuffer(blob or b"", np.uint8), bounds)


def ids_from_arrays(arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Ids:
    """Return what `Ids.to_arrays` wrote, its names behind `prefix`."""
    if f"{prefix}offsets" not in arrays:
        return _integers(arrays[f"{prefix}ids"])
    return text_ids(arrays[f"{prefix}ids"], arrays[f"{prefix}offsets"])


def text_ids(blob: NDArray[np.uint8], offsets: Index) -> Ids:
    """Pack the N texts that lie in a blob of UTF-8 between N + 1 byte offsets."""
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    padded = np.zeros(len(blob) // 8 * 8 + 24, np.uint8)
    padded[: len(blob)] = blob
    aligned, starts = padded.view(np.uint64), offsets[:-1]
    head = _eight_bytes(aligned, starts) & _MASKS[np.minimum(lengths, 6)]
    words = [(head << _LENGTH_BITS) | np.minimum(lengths, _LONG).astype(np.uint64)]
    for place in range(1, (min(longest, INLINE) + 9) // 8):
        done = 8 * place - 2
        words.append(_eight_bytes(aligned, starts + done) & _MASKS[np.clip(lengths - done, 0, 8)])
    return Ids(kind="text", words=tuple(words), long=_digest_long(words, blob, offsets) if longest > INLINE else {})


def _integers(values: NDArray[Any]) -> Ids:
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        raise ShapeError(f"ids: expected integers below 2**63, got {values.max()}; give them as text")
    return Ids(kind="integer", words=(np.ascontiguousarray(values, np.int64).view(np.uint64),))


def joined(parts: Sequence[Ids], kind: Kind) -> Ids:
    """Return all parts' ids, part after part."""
    width = max((len(part.words) for part in parts), default=1)
    columns = []
    for place in range(width):
        words = [part.words[place] if place < len(part.words) else np.zeros(len(part), np.uint64) for part in parts]
        columns.append(np.concatenate([np.zeros(0, np.uint64), *words]))
    long = {digest: text for part in parts for digest, text in part.long.items()}
    return Ids(kind=kind, words=tuple(columns), long=long)


def _scrambled(word: Words, place: int) -> Words:
    """Return the word's bits mixed by multiplication; of 0, 0."""
    mixed = word * _FACTORS[place]
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    return np.asarray(mixed, np.uint64)


def _eight_bytes(aligned: Words, at: Index) -> Words:
    """Return the eight bytes that begin at each byte position, of two aligned words each; past the end, any."""
    word, shift = at >> 3, ((at & 7) << 3).astype(np.uint64)
    low = aligned.take(word, mode="clip") >> shift
    # a shift by 64 is 0 in numpy, unlike in C
    high = aligned.take(word + 1, mode="clip") << (np.uint64(64) - shift)
    return np.asarray(low | high, np.uint64)


def _digest_long(words: list[Words], blob: NDArray[np.uint8], offsets: Index) -> dict[bytes, bytes]:
    """Put digests in place of the words of texts longer than INLINE; returns the texts by digest."""
    texts = {}
    for index in np.flatnonzero(np.diff(offsets) > INLINE).tolist():
        text = blob[offsets[index] : offsets[index + 1]].tobytes()
        digest = hashlib.sha256(text).digest()
        texts[digest] = text
        row = np.frombuffer((b"\xff\xff" + digest).ljust(8 * MOST_WORDS, b"\0"), np.uint64)
        for word, value in zip(words, row, strict=True):
            word[index] = value
    return texts


def _of_texts(texts: Sequence[bytes]) -> Arrays:
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return {"ids": np.frombuffer(b"".join(texts), np.uint8).copy(), "offsets": offsets}


def _arrow_type(raw: Any) -> Any:
    if isinstance(raw, np.ndarray):
        return None
    first = next((value for value in raw if value is not None), "") if len(raw) else ""
    if isinstance(first, str):
        return pa.large_string()
    return pa.large_binary() if isinstance(first, bytes) else None  # Arrow finds out, and tells 1 from 1.5


def _is_text(kind: Any) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)
