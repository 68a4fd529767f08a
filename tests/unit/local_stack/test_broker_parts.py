"""The broker's preparation: Java, the jar lock, the settings, and an error for each cause."""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from local_stack.broker import jars as jars_module
from local_stack.broker import java as java_module
from local_stack.broker.config import BrokerConfig
from local_stack.broker.jar_lock import LockedJar, read_lock, write_lock
from local_stack.broker.jars import ensure_jars
from local_stack.broker.java import find_java, parse_version
from local_stack.broker.launch import require_free_disk
from local_stack.broker.server_config import render, server_properties
from local_stack.broker.topics import plan_topics
from local_stack.errors import ChecksumError, DiskFullError, NoJavaError
from springtide.contracts.topics import ALL_TOPICS
from springtide.runtime.config import KafkaConfig

Usage = namedtuple("Usage", "total used free")


def locked(content: bytes, coordinate: str = "g.h:a:1") -> LockedJar:
    return LockedJar(coordinate=coordinate, sha256=hashlib.sha256(content).hexdigest())


def deliver(content: bytes, fetched: list[str]) -> object:
    def fetch(coordinate: str, scratch: Path) -> Path:
        fetched.append(coordinate)
        path = scratch / coordinate
        path.write_bytes(content)
        return path

    return fetch


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_292"', 8),
        ("command not found", None),
    ],
)
def test_java_tells_its_version(text: str, version: int | None) -> None:
    assert parse_version(text) == version


def test_too_old_a_java_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(old.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(java_module, "_candidates", lambda: iter([old]))
    with pytest.raises(NoJavaError, match="expected version 17 or newer, got .*11"):
        find_java()


def test_the_committed_lock_holds_kafka_itself() -> None:
    coordinates = [jar.coordinate for jar in read_lock()]
    assert "org.apache.kafka:kafka_2.13:4.3.1" in coordinates
    assert len(set(coordinates)) == len(coordinates) == 46


def test_a_written_lock_reads_back(tmp_path: Path) -> None:
    jars = [locked(b"one"), locked(b"two", "g:b:2")]
    write_lock(jars, tmp_path / "lock")
    assert read_lock(tmp_path / "lock") == jars


def test_a_torn_lock_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("# head\nabc g:a:1\n")
    with pytest.raises(ChecksumError, match="lock:2: expected"):
        read_lock(tmp_path / "lock")


def test_a_jar_with_another_digest_never_enters_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars_module, "fetch_jar", deliver(b"evil", []))
    with pytest.raises(ChecksumError, match="g.h:a:1: expected sha256"):
        ensure_jars([locked(b"good")], tmp_path)
    assert list((tmp_path / "jars").iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "jars"], "the scratch folder is gone"


def test_a_cached_jar_is_not_fetched_again_and_a_spoilt_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(jars_module, "fetch_jar", deliver(b"good", fetched))
    jar = locked(b"good")
    (path,) = ensure_jars([jar], tmp_path)
    assert ensure_jars([jar], tmp_path) == [path]
    assert fetched == ["g.h:a:1"]
    path.write_bytes(b"spoilt")
    ensure_jars([jar], tmp_path)
    assert path.read_bytes() == b"good"


def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 5 * 2**20))
    with pytest.raises(DiskFullError):
        ensure_jars([locked(b"good")], tmp_path)
    with pytest.raises(DiskFullError, match="expected 1024 MiB free, got 5 MiB"):
        require_free_disk(tmp_path, 1024)


def test_the_broker_binds_to_loopback_only() -> None:
    properties = server_properties(BrokerConfig(port=1234, controller_port=1235), Path("logs"))
    listeners = [part.split("://")[1] for part in properties["listeners"].split(",")]
    assert listeners == ["127.0.0.1:1234", "127.0.0.1:1235"]
    assert "auto.create.topics.enable=false\n" in render(properties)


def test_topics_get_the_policies_of_the_contract() -> None:
    plans = plan_topics(KafkaConfig(topic_prefix="x-", partitions=5))
    by_name = {plan.name: plan for plan in plans}
    assert set(by_name) == {"x-" + spec.name for spec in ALL_TOPICS}
    for spec in ALL_TOPICS:
        plan = by_name["x-" + spec.name]
        assert plan.partitions == (5 if spec.partitioned else 1)
        assert plan.settings["cleanup.policy"] == ("compact" if spec.compacted else "delete")


def test_a_configuration_names_every_broken_rule() -> None:
    problems = list(BrokerConfig(port=0, controller_port=0, heap_mib=1).problems())
    assert [problem.split(":")[0] for problem in problems] == [
        "broker.port",
        "broker.controller_port",
        "broker.controller_port",
        "broker.heap_mib",
    ]
