"""Starts a Ray of the trainer's own, or joins a cluster."""

import contextlib
import logging
import os
import secrets
import signal
from collections.abc import Iterator
from typing import Any, Final

from springtide.contracts.errors import ExitCode, StackError
from trainer.config import TrainerConfig

ATTEMPTS: Final = 6
"""Ray gives its parts half a minute to start (fixed in 2.60), which a busy machine may exceed."""

_log = logging.getLogger(__name__)


def open_ray(config: TrainerConfig) -> Any:
    """Return the ray module, connected; it is imported here, since it reads its environment when imported.

    A Ray of our own listens on loopback behind a token that only this process and its children know, and ends with
    this process, also on kill -9: Ray asks the kernel for that.

    Raises:
        StackError: Ray did not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "60")
    os.environ.setdefault("RAY_worker_niceness", "5")  # behind serving on a shared machine, not starved by it
    if not config.ray_address:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one into the home folder
    import ray

    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _deaf_children():
                _connect(ray, config)
            return ray
        except Exception as error:  # Ray raises bare Exception when a part is late
            ray.shutdown()
            if attempt == ATTEMPTS:
                message = f"ray: expected it to start, got {error}; see its logs beneath /tmp/ray/session_latest"
                raise StackError(message, ExitCode.PROCESS_FAILED) from error
            _log.warning("ray did not start (attempt %d of %d): %s", attempt, ATTEMPTS, error)
    return ray


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes started meanwhile ignore SIGTERM: a supervisor sends it to the whole group.

    They inherit the blocked signal. Else Ray would be gone before the trainer has written its last checkpoint; when
    that is done, Ray ends them by SIGKILL.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _connect(ray: Any, config: TrainerConfig) -> None:
    if config.ray_address:
        ray.init(address=config.ray_address, namespace="trainer", configure_logging=False)
        return
    ray.init(
        address="local",
        namespace="trainer",
        num_cpus=config.ranks,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=config.object_store_mib * 2**20,
        configure_logging=False,
        _node_ip_address="127.0.0.1",
    )
