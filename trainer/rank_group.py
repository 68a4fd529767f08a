"""The ranks as Ray actors: started together, called together, lost together."""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from springtide.contracts.errors import ExitCode, SpringtideError
from springtide.runtime.log_setup import set_up_logging
from trainer.config import TrainerConfig
from trainer.messages import Meeting, RankSetup
from trainer.own_ray import open_ray
from trainer.quiet import quiet_kafka

_log = logging.getLogger(__name__)


class WorkerLostError(SpringtideError):
    """A rank died or does not answer; the trainer ends, and a new life resumes from the newest checkpoint."""

    exit_code = ExitCode.WORKER_LOST


class RankGroup:
    """All ranks; each call goes to every one at once, since their steps are collective."""

    def __init__(self, config: TrainerConfig, setups: Sequence[RankSetup], log_level: str) -> None:
        self._config = config
        self._ray = open_ray(config)
        actor = self._ray.remote(_RankActor)
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        self._actors = [
            actor.options(**options).remote(number, setup, log_level) for number, setup in enumerate(setups)
        ]

    def form(self, checkpoint: Path | None) -> list[dict[str, list[str]]]:
        """Let the ranks meet and take up a checkpoint; returns the tables of each rank per chain."""
        port = _free_port()
        meetings = [
            Meeting(
                rank=rank,
                world_size=len(self._actors),
                host="127.0.0.1",
                port=port,
                start_timeout=self._config.start_timeout,
                timeout=self._config.worker_timeout,
            )
            for rank in range(len(self._actors))
        ]
        calls = [
            actor.call.remote("start", meeting, checkpoint)
            for actor, meeting in zip(self._actors, meetings, strict=True)
        ]
        return self._results("start", calls, self._config.start_timeout)

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every rank; returns the results in rank order.

        Raises:
            WorkerLostError: a rank died, failed, or did not answer within `trainer.worker_timeout`.
        """
        return self._results(method, [actor.call.remote(method, *arguments) for actor in self._actors])

    def call_first(self, method: str, argument: Any, part: str, *of_part: Any) -> Any:
        """Call a method of rank 0 with what another gives on every rank; the parts do not go through here.

        Args:
            method: of rank 0, which takes the argument and then a part per rank, in rank order.
            argument: the first.
            part: the method that gives each rank's part.
            of_part: its arguments.

        Raises:
            BundleError: the bundle must not be served.
            HarmfulUpdateError: it is worse than what is served.
            WorkerLostError: as in `call`.
        """
        parts = [actor.call.remote(part, *of_part) for actor in self._actors]
        return self._results(method, [self._actors[0].call.remote(method, argument, *parts)])[0]

    def pids(self) -> list[int]:
        """Return the ranks' process ids."""
        found: list[int] = self._ray.get([actor.pid.remote() for actor in self._actors])
        return found

    def stop(self) -> None:
        """End all ranks, and Ray with them when it is the trainer's own."""
        for actor in self._actors:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)
        self._ray.shutdown()

    def _results(self, method: str, calls: list[Any], timeout: timedelta | None = None) -> list[Any]:
        """Wait for all calls; the first that fails ends the wait, since the others may hang in a collective."""
        timeout = timeout or self._config.worker_timeout
        deadline = time.monotonic() + timeout.total_seconds()
        waiting = list(calls)
        while waiting:
            done, waiting = self._ray.wait(waiting, num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
            if not done:
                raise WorkerLostError(f"rank call {method}: expected an answer in {timeout}, got none; see its log")
            try:
                self._ray.get(done)
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, SpringtideError):
                    raise cause from error
                raise WorkerLostError(f"rank call {method}: expected a result, got {error}; see above") from error
            except self._ray.exceptions.RayError as error:
                raise WorkerLostError(f"rank call {method}: expected a living rank, got {error}; restart") from error
        results: list[Any] = self._ray.get(calls)
        return results


class _RankActor:
    """A thin shell around Rank; torch is imported in the actor's process only."""

    def __init__(self, number: int, setup: RankSetup, log_level: str) -> None:
        set_up_logging(f"trainer-rank-{number}", log_level)
        logging.getLogger().setLevel(logging.WARNING)  # FBGEMM tells each table's arguments to the root logger
        for own in ("trainer", "springtide"):
            logging.getLogger(own).setLevel(log_level)
        quiet_kafka()
        from trainer.rank import Rank

        self._rank = Rank(setup)

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._rank, method)(*arguments)

    def pid(self) -> int:
        return os.getpid()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
