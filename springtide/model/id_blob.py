"""Lists of id strings as two plain arrays, the form in which safetensors can hold them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]


def pack_ids(ids: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 bytes of all ids, and N + 1 byte offsets."""
    encoded = [text.encode() for text in ids]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8).copy(), offsets


def unpack_ids(blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    """Return the ids that `pack_ids` packed."""
    data = blob.tobytes()
    ends = offsets.tolist()
    return [data[start:end].decode() for start, end in zip(ends, ends[1:], strict=False)]
