"""Resolves the broker's dependencies anew and writes jars.lock: `make lock-jars`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from local_stack.broker.jar_lock import LockedJar, sha256_of, write_lock
from local_stack.broker.jars import fetch_jar

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
LOG_BINDING = "org.slf4j:slf4j-simple:1.7.36"
"""Kafka's own dependencies bring no log binding, and without one the broker dies silently."""


def resolve(scratch: Path) -> list[LockedJar]:
    """Return Kafka, its runtime dependencies and the log binding, each with its digest."""
    context = MavenContext(repo_cache=scratch, timeout=60)
    roots, others = context.resolver.resolve([context.create_dependency(KAFKA)])
    names = [f"{jar.groupId}:{jar.artifactId}:{jar.version}" for jar in [*roots, *others]]
    return [
        LockedJar(coordinate=name, sha256=sha256_of(fetch_jar(name, scratch))) for name in [*sorted(names), LOG_BINDING]
    ]


def main() -> int:
    """Write the lock file and say how many jars it holds."""
    with tempfile.TemporaryDirectory() as scratch:
        jars = resolve(Path(scratch))
    write_lock(jars)
    print(f"{len(jars)} jars locked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
