"""Both online stores: a SQLite file, and a Redis server of the test's own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_store.config import FeatureStoreConfig


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host:port of a Redis that keeps nothing; skips when the machine has no redis-server."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("NO REDIS: apt-get install redis-server, or the Redis half of the feature store stays untested")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"redis-server: expected an answer on port {port} within 10 s, got none")


@pytest.fixture(params=["sqlite", "redis"])
def config(request: pytest.FixtureRequest) -> FeatureStoreConfig:
    """Settings of each online store in turn."""
    if request.param == "sqlite":
        return FeatureStoreConfig(compact_files=3)
    import redis

    address = str(request.getfixturevalue("redis_address"))
    redis.Redis.from_url(f"redis://{address}").flushall()
    return FeatureStoreConfig(online_store="redis", redis=address, compact_files=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Feast's repo_path of this test."""
    return tmp_path / "feature_store"
