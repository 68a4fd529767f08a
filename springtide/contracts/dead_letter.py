"""Topic `dead-letter`: what could not be used, whole, with a reason."""

from typing import Literal

import msgspec

Reason = Literal[
    "undecodable",
    "outlier_time",
    "unknown_position",
    "orphan_expired",
    "impression_without_served",
    "wrong_partition",
]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One unusable message."""

    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    """The original record, base64 in JSON."""
    schema_version: int = 1
