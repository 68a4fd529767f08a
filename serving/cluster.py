"""The Ray in which arms live: an own one for this process, or one that is there already."""

import logging
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import ray

from serving.arm import Arm, ArmSettings
from serving.config import ServingConfig
from serving.wire import ActorStats, stats_decoder
from springtide.contracts.errors import ExitCode, StackError

_log = logging.getLogger(__name__)

FAILURES: Final = (ray.exceptions.RayError,)
"""What a call to an actor raises when the actor is down, restarting, or has raised something itself."""

GROUPS: Final = {"rank": 1, "load": 1, "watch": 1}
"""Threads per kind of call: a model is loaded beside ranking, never in its way."""


START_ATTEMPTS: Final = 3
"""Ray gives its daemons half a minute, which a machine that is still installing may need."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorCalls:
    """The bound methods of one arm's actor; each `.remote(...)` gives an object reference."""

    rank: Any
    load: Any
    stats: Any

    async def ranked(self, payload: bytes) -> bytes:
        """Rank a batch."""
        answer: bytes = await self.rank.remote(payload)
        return answer


def open_ray(config: ServingConfig, arms: int) -> None:
    """Start an own Ray, or join `serving.ray_address`.

    An own one dies with this process, also on kill -9: Ray asks the kernel for that. It listens behind a token that
    only this process and its children know, so that nothing is written into a home folder.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would put users behind the trainer
    if config.ray_address:
        ray.init(address=config.ray_address, namespace=config.ray_namespace, configure_logging=False)
        return
    if not any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # Ray turns the mode on by itself
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            _start_ray(config, arms)
            return
        except Exception as error:
            ray.shutdown()
            if attempt == START_ATTEMPTS:
                message = f"Ray: expected it to start, got {error}; see its logs under /tmp/ray/session_latest"
                raise StackError(message, ExitCode.PROCESS_FAILED) from error
            _log.warning("Ray did not start at attempt %d: %s", attempt, error)


def _start_ray(config: ServingConfig, arms: int) -> None:
    ray.init(
        address="local",
        namespace=config.ray_namespace,
        num_cpus=max(1, math.ceil(arms * config.actor_cpus)),
        object_store_memory=config.object_store_bytes,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=True,
    )


def start_arms(settings: Mapping[str, ArmSettings], actor_cpus: float) -> dict[str, ActorCalls]:
    """Make one actor per arm. A crashed one comes back by itself; calls are never repeated, a poisonous one least."""
    remote = ray.remote(num_cpus=actor_cpus, max_restarts=-1, max_task_retries=0, concurrency_groups=GROUPS)(Arm)
    actors = {name: remote.remote(each) for name, each in settings.items()}
    return {
        name: ActorCalls(
            rank=actor.rank.options(concurrency_group="rank"),
            load=actor.load.options(concurrency_group="load"),
            stats=actor.stats.options(concurrency_group="watch"),
        )
        for name, actor in actors.items()
    }


def read_stats(actors: Mapping[str, ActorCalls], wait_seconds: float) -> dict[str, ActorStats]:
    """Ask every actor; those that do not answer in time are left out.

    Raises:
        StackError: an arm's constructor failed; Ray restarts what crashes, but not that.
    """
    references = {actor.stats.remote(): name for name, actor in actors.items()}
    done, _ = ray.wait(list(references), num_returns=len(references), timeout=wait_seconds)
    found = {}
    for reference in done:
        name = references[reference]
        try:
            found[name] = stats_decoder.decode(ray.get(reference))
        except ray.exceptions.ActorDiedError as error:
            raise StackError(f"arm {name}: expected it to start, got {error}", ExitCode.PROCESS_FAILED) from error
        except FAILURES:
            continue  # it is restarting: the caller sees that it is missing
    return found


def close_ray() -> None:
    """End the actors, and an own Ray with them."""
    ray.shutdown()
