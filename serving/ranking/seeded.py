"""Random draws that depend on nothing but names, so that a repeated request gets the same draws anywhere."""

from hashlib import blake2b
from random import Random


def seeded(*names: str) -> Random:
    """Make a generator from names such as a purpose and a request id."""
    digest = blake2b("\x1f".join(names).encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest, "big"))
