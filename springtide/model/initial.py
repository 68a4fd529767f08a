"""First vectors of embedding rows, a function of (seed, table, row) alone: a re-used row starts as it first did."""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from springtide.model.id_map import FALLBACK_ROW, Rows

SCALE: Final = 0.2
"""Largest absolute first value; the fallback row starts at 0."""


def initial_vectors(table: str, rows: Rows, dim: int, seed: int) -> NDArray[np.float32]:
    """Return float32 (len(rows), dim), uniform in ±SCALE by counter-based mixing (SplitMix64, Steele et al. 2014)."""
    stream = np.uint64(zlib.crc32(table.encode()) + (seed << 32) & 0xFFFF_FFFF_FFFF_FFFF)
    with np.errstate(over="ignore"):
        counter = rows.astype(np.uint64)[:, None] * np.uint64(dim) + np.arange(dim, dtype=np.uint64)[None, :]
        bits = _mix(_mix(counter + np.uint64(1)) ^ _mix(np.asarray(stream)))
    uniform = (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
    vectors = (uniform * 2.0 - 1.0) * np.float32(SCALE)
    vectors[rows == FALLBACK_ROW] = 0.0
    return vectors.astype(np.float32)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + np.uint64(0x9E37_79B9_7F4A_7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return np.asarray(value ^ (value >> np.uint64(31)), np.uint64)
