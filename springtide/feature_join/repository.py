"""Opens the Feast repository that the writer made."""

import time
from pathlib import Path
from typing import Any

from springtide.contracts.errors import StateError


def open_repository(repo_path: Path, wait_seconds: float = 0.0) -> Any:
    """Give a feast.FeatureStore; its registry is read once and never again.

    Args:
        repo_path: the writer's folder, `process.state_folder` / FEAST_FOLDER.
        wait_seconds: wall time to wait for the writer's first start.

    Raises:
        StateError: no repository appeared.
    """
    deadline = time.monotonic() + wait_seconds
    while not (repo_path / "feature_store.yaml").exists():
        if time.monotonic() >= deadline:
            raise StateError(f"{repo_path}: expected feature_store.yaml, got none; start feature_store first")
        time.sleep(0.05)
    from feast import FeatureStore

    return FeatureStore(repo_path=str(repo_path))
