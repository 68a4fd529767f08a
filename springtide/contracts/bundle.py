"""Model bundles and topic `model-updates`.

A bundle is a folder `{root}/{chain}/{version}/`: manifest.json, dense.safetensors, tables.safetensors and
ids.safetensors. A base holds everything; a delta holds the dense part, the rows touched since its parent and the
id table's journal. Base + deltas in sequence equals the full model bit for bit. Nothing in it is a pickle.
"""

from typing import Any, Literal

import msgspec

Chain = Literal["daily", "minute"]
Kind = Literal["base", "delta"]

MANIFEST: str = "manifest.json"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a bundle."""

    name: str
    size: int
    sha256: str


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One embedding table."""

    rows: int
    dim: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is and what it was made from; written last, so that a folder with one is whole."""

    version: str
    chain: str
    kind: Kind
    base_version: str
    """The base that this bundle is, or that its deltas start from."""
    parent_version: str = ""
    """The version that a delta must be applied to; empty for a base."""
    sequence: int
    """0 for a base, then 1, 2, … per delta of it."""
    preset: str
    model_config: dict[str, Any]
    """Settings that build the network, complete."""
    feature_set_version: int
    tables: dict[str, TableEntry]
    offsets: dict[str, int]
    """Next `samples` offset per partition: all before it is learned."""
    newest_event_ms: int
    """Newest impression learned."""
    watermark_ms: int
    """Event time up to which everything due was learned."""
    samples_learned: int
    metrics: dict[str, float] = {}
    """Progressive quality at publication, such as `purchase/ne`."""
    golden_scores: dict[str, list[float]] = {}
    """Expected score per task for the fixed golden inputs; serving verifies them after loading."""
    files: list[FileEntry] = []
    schema_version: int = 1


class ModelUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Announces a bundle, or why one was not published. Keyed by chain."""

    chain: str
    version: str
    kind: Kind
    base_version: str
    parent_version: str = ""
    sequence: int
    path: str
    """Folder beneath the bundle root, with forward slashes."""
    manifest_sha256: str
    newest_event_ms: int
    watermark_ms: int
    samples_learned: int
    published_ms: int
    """Wall time of publication."""
    preset: str = ""
    metrics: dict[str, float] = {}
    refused: str = ""
    """Why the bundle must not be served; empty for a good one."""
    rolled_back: str = ""
    """Why a later version was taken back, so that this one, announced before, is to be served again."""
    schema_version: int = 1


class ModelSwap(msgspec.Struct, frozen=True, kw_only=True):
    """A serving actor has taken (or refused) a bundle; sent on topic `metrics` inside a ProcessReport."""

    arm: str
    chain: str
    version: str
    previous_version: str
    event_time_ms: int
    """Newest request time the actor had seen."""
    wall_time_ms: int
    newest_event_ms: int
    load_ms: float
    refused: str = ""
    rolled_back: str = ""
    """Why the publisher took the previous version back; empty for a step ahead."""
