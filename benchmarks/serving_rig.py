"""What serving needs around it to be measured or tested: a catalogue, features, model bundles, the process itself."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
import psutil
import torch

from springtide.contracts.bundle import Manifest, ModelUpdate, TableEntry
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.codec import encode
from springtide.contracts.features import COUNTS, FEAST_FOLDER, FEATURE_SET_VERSION, USER_FEATURES, FeatureRow
from springtide.contracts.topics import CATALOGUE, MODEL_UPDATES
from springtide.model.bundle import manifest_digest, write_bundle
from springtide.model.config import ModelConfig
from springtide.model.dense_network import DenseNetwork
from springtide.model.golden import golden_scores
from springtide.model.id_map import IdMap, Journal
from springtide.model.initial import initial_vectors
from springtide.model.presets import preset
from springtide.model.state import TableRows, whole_table
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer

NOW_MS = 1_700_000_000_000
"""Event time of everything here."""
CATEGORIES = 20


def publish_catalogue(kafka: KafkaConfig, count: int) -> list[CatalogueItem]:
    """Announce items `i0`, `i1`, …; returns them."""
    items = [
        CatalogueItem(
            item_id=f"i{index}",
            category=f"c{index % CATEGORIES}",
            price=5.0 + index % 50,
            born_ms=NOW_MS - 86_400_000 - index * 60_000,
            available=True,
            event_time_ms=NOW_MS - 86_400_000,
        )
        for index in range(count)
    ]
    send(kafka, CATALOGUE.name, [(item.item_id.encode(), encode(item)) for item in items])
    return items


def send(kafka: KafkaConfig, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Produce records and wait for all of them."""
    producer = make_producer(kafka)
    try:
        for sent in [producer.send(kafka.topic(topic), key=key, value=value) for key, value in records]:
            sent.get(timeout=30)
    finally:
        producer.close(timeout=5)


def write_features(state_folder: Path, users: int, items: int, seed: int = 5) -> None:
    """Make a Feast repository with rows of users `u0`, … and items `i0`, …."""
    from feature_store.config import FeatureStoreConfig
    from feature_store.online import OnlineWriter
    from feature_store.repository import apply

    random = np.random.default_rng(seed)
    writer = OnlineWriter(apply(state_folder / FEAST_FOLDER, FeatureStoreConfig()))
    rows = [_user_row(random, f"u{index}", items) for index in range(users)]
    rows += [
        FeatureRow(entity="item", entity_id=f"i{index}", event_time_ms=NOW_MS - 60_000, values=_counts(random))
        for index in range(items)
    ]
    writer.write(rows)


def _counts(random: np.random.Generator) -> dict[str, float]:
    return dict(zip(COUNTS, random.integers(0, 30, len(COUNTS)).astype(float).tolist(), strict=True))


def _user_row(random: np.random.Generator, user_id: str, items: int) -> FeatureRow:
    values = dict.fromkeys(USER_FEATURES, 0.0) | _counts(random)
    return FeatureRow(
        entity="user",
        entity_id=user_id,
        event_time_ms=NOW_MS - 60_000,
        values=values | {"last_click_ms": NOW_MS - 90_000.0},
        top_categories=[f"c{category}" for category in random.choice(CATEGORIES, 3, replace=False)],
        top_category_shares=[0.5, 0.3, 0.2],
        recent_items=[f"i{item}" for item in random.integers(0, items, 8)],
    )


@dataclass
class RandomModels:
    """Publishes bundles with random weights, changed by random steps instead of by learning."""

    root: Path
    chain: str = "minute"
    config: ModelConfig = field(default_factory=lambda: preset(sizes=ModelConfig()))
    items: int = 1000
    users: int = 1000
    base: int = 0
    sequence: int = -1
    version: str = ""

    def __post_init__(self) -> None:
        torch.manual_seed(self.config.seed)
        self.random = np.random.default_rng(self.config.seed)
        self.network = DenseNetwork(self.config)
        self._shapes: dict[str, TableEntry] = {}
        self.tables = {
            name: torch.from_numpy(
                initial_vectors(name, np.arange(rows), self.config.embedding_dim, self.config.seed).copy()
            )
            for name, rows in self.config.capacities.items()
        }

    def publish(self, kind: str = "delta") -> ModelUpdate:
        """Write the next delta, or a new base; returns its announcement."""
        touched = self._step()
        parent = self.version
        if kind == "base":
            self.base, self.sequence, parent = self.base + 1, -1, ""
        self.sequence += 1
        self.version = f"{self.chain}-{self.base}.{self.sequence}"
        learned = NOW_MS + 1000 * (100 * self.base + self.sequence)
        manifest = Manifest(
            version=self.version,
            chain=self.chain,
            kind="base" if kind == "base" else "delta",
            base_version=f"{self.chain}-{self.base}.0",
            parent_version=parent,
            sequence=self.sequence,
            preset="mmoe-esm2",
            model_config=self.config.to_dict(),
            feature_set_version=FEATURE_SET_VERSION,
            tables={},
            offsets={},
            newest_event_ms=learned,
            watermark_ms=learned,
            samples_learned=100_000 + learned % 1000,
            golden_scores=golden_scores(self.config, self.network.state_dict(), self.tables),
        )
        folder = self.root / self.chain / self.version
        if kind == "base":
            tables = {name: whole_table(vectors) for name, vectors in self.tables.items()}
            manifest = write_bundle(folder, manifest, self.network.state_dict(), tables, self._ids())
        else:
            tables = {name: TableRows(rows=rows, vectors=self.tables[name][rows]) for name, rows in touched.items()}
            journals = {name: Journal.of({}, {}) for name in self.tables}
            whole = msgspec.structs.replace(manifest, tables=self._shapes)
            manifest = write_bundle(folder, whole, self.network.state_dict(), tables, journals)
        self._shapes = manifest.tables
        return announcement(self.root, folder)

    def _step(self) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.01)
        touched = {}
        for name, vectors in self.tables.items():
            count = min(300, len(vectors) - 1)
            rows = np.sort(self.random.choice(np.arange(1, len(vectors)), count, replace=False))
            touched[name] = torch.from_numpy(rows)
            vectors[touched[name]] += 0.01
        return touched

    def _ids(self) -> dict[str, IdMap]:
        known = {"user": [f"u{index}" for index in range(self.users)], "item": [f"i{n}" for n in range(self.items)]}
        known["category"] = [f"c{index}" for index in range(CATEGORIES)]
        known |= {"device": ["phone", "desktop"], "country": ["NL", "DE"]}
        return {name: IdMap({raw: row for row, raw in enumerate(known.get(name, []), 1)}) for name in self.tables}


def announcement(root: Path, folder: Path) -> ModelUpdate:
    """Make the announcement of a bundle on disk."""
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    return ModelUpdate(
        chain=manifest.chain,
        version=manifest.version,
        kind=manifest.kind,
        base_version=manifest.base_version,
        parent_version=manifest.parent_version,
        sequence=manifest.sequence,
        path=folder.relative_to(root).as_posix(),
        manifest_sha256=manifest_digest(folder),
        newest_event_ms=manifest.newest_event_ms,
        watermark_ms=manifest.watermark_ms,
        samples_learned=manifest.samples_learned,
        published_ms=time.time_ns() // 1_000_000,
    )


def announce(kafka: KafkaConfig, update: ModelUpdate) -> None:
    """Put an announcement on its topic."""
    send(kafka, MODEL_UPDATES.name, [(update.chain.encode(), encode(update))])


class ServingProcess:
    """`python -m serving` with settings of its own; ends with the block."""

    def __init__(self, folder: Path, kafka: KafkaConfig, **sets: str) -> None:
        """Prepare.

        Args:
            folder: state folder; log and settings go there too.
            kafka: broker and topics.
            sets: further settings, `serving__deadline="1s"`.
        """
        self.folder, self._kafka, self._sets = folder, kafka, sets
        self.state_folder = folder / "state"
        self.log = folder / "serving.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = self.health_port = 0

    def __enter__(self) -> Self:
        """Start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = {
            "process.state_folder": str(self.state_folder),
            "kafka.bootstrap": self._kafka.bootstrap,
            "kafka.topic_prefix": self._kafka.topic_prefix,
            "kafka.partitions": str(self._kafka.partitions),
            "serving.port": "0",
            **{key.replace("__", "."): value for key, value in self._sets.items()},
        }
        sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving", "--config", "config/base.toml", *sets],
                stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def wait_ready(self, seconds: float = 240.0) -> dict[str, Any]:
        """Wait until /health says ready and every arm has items; returns what it says.

        Raises:
            TimeoutError: it did not; the text ends with the log's last lines.
        """
        return self.wait_until(lambda health: bool(health["ready"]) and "no catalogue" not in health["status"], seconds)

    def wait_until(self, holds: Any, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until what /health says satisfies `holds`."""
        deadline = time.monotonic() + seconds
        health: dict[str, Any] = {}
        while time.monotonic() < deadline:
            health = self.health()
            if health and holds(health):
                self.port = int(health.get("port", 0))
                return health
            assert self.process is not None
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise TimeoutError(f"serving: expected it ready in {seconds} s, got {health}; log: {self.tail()}")

    def wait_models(self, versions: set[str], seconds: float = 60.0) -> None:
        """Wait until the arms serve these versions and no other.

        Raises:
            TimeoutError: they did not.
        """
        deadline = time.monotonic() + seconds
        while (found := {model["version"] for model in self.models()}) != versions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"arms: expected models {versions}, got {found}; log: {self.tail()}")
            time.sleep(0.05)

    def models(self) -> list[dict[str, Any]]:
        """Ask which model each arm serves."""
        with urllib.request.urlopen(f"{self.url}/v1/models", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def health(self) -> dict[str, Any]:
        """Read /health; empty while there is none."""
        if not self.health_port:
            for line in self.log.read_text(errors="replace").splitlines():
                if "health and metrics on" in line:
                    message = json.loads(line)["message"] if line.startswith("{") else line
                    self.health_port = int(message.rsplit(":", 1)[1])
            if not self.health_port:
                return {}
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/health", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        except OSError:
            return {}
        return found

    def metric(self, sample: str) -> float:
        """Read one Prometheus sample, named with its labels; 0 when there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(sample + " "):
                    return float(line.rsplit(" ", 1)[1])
        return 0.0

    def tail(self, lines: int = 30) -> str:
        """Give the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def url(self) -> str:
        """Of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> dict[str, float]:
        """Give CPU time per process of the tree, by a short name."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        found: dict[str, float] = {}
        for process in [root, *root.children(recursive=True)]:
            try:
                words = process.cmdline()
                times = process.cpu_times()
            except psutil.Error:
                continue
            name = "driver" if process.pid == root.pid else _short(words)
            found[name] = found.get(name, 0.0) + times.user + times.system
        return found


def _short(words: list[str]) -> str:
    text = " ".join(words[:3])
    for name in ("gcs_server", "raylet", "ray::Arm", "ray::IDLE", "log_monitor", "dashboard", "runtime_env", "monitor"):
        if name in text:
            return name
    return text[:60]
