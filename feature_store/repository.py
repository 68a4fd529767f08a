"""Renders Feast's settings and applies the definitions, so that a reader never sees half a repository."""

import json
import os
import shutil
import sqlite3
from pathlib import Path
from string import Template
from typing import Any, Final

from feast import FeatureStore

from feature_store.config import FeatureStoreConfig
from feature_store.repo.feature_definitions import DEFINITIONS
from springtide.contracts.features import FEAST_PROJECT

TEMPLATE: Final = Path(__file__).parent / "repo" / "feature_store.yaml"
REGISTRY: Final = "registry.db"
ONLINE: Final = "online.db"


def render(config: FeatureStoreConfig, registry: str = REGISTRY) -> str:
    """Fill in the template; JSON is YAML."""
    online: dict[str, Any] = {"type": "sqlite", "path": ONLINE}
    if config.online_store == "redis":
        # The writer guards event time itself; Feast's own check would keep the first of two rows of one instant,
        # where SQLite keeps the last.
        online = {"type": "redis", "connection_string": config.redis, "skip_dedup": True}
    return Template(TEMPLATE.read_text()).substitute(
        project=FEAST_PROJECT, registry=registry, online_store=json.dumps(online)
    )


def apply(folder: Path, config: FeatureStoreConfig) -> FeatureStore:
    """Make or renew the Feast repository in `folder` and open it.

    Feast writes its registry in place. So it works on a copy, which then takes the registry's place; the settings file
    comes last and tells readers that all is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if config.online_store == "sqlite":
        _let_readers_read(folder / ONLINE)
    staged = folder / "staged.db"
    if (folder / REGISTRY).exists():
        shutil.copyfile(folder / REGISTRY, staged)
    else:
        staged.unlink(missing_ok=True)
    settings = folder / "staged.yaml"
    settings.write_text(render(config, registry=staged.name))
    FeatureStore(repo_path=str(folder), fs_yaml_file=settings).apply(list(DEFINITIONS))
    os.replace(staged, folder / REGISTRY)
    settings.write_text(render(config))
    os.replace(settings, folder / "feature_store.yaml")
    return FeatureStore(repo_path=str(folder))


def _let_readers_read(database: Path) -> None:
    """Turn on SQLite's write-ahead log, which the file remembers: readers no longer wait for the writer."""
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
