"""Puts serving together: Ray, one actor per arm, the gateway, and the threads that follow topics."""

import logging
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaProducer

from serving.announcements import ModelAnnouncements
from serving.arm import ArmSettings
from serving.cluster import FAILURES, ActorCalls, close_ray, open_ray, read_stats, start_arms
from serving.config import ExperimentConfig, ServingConfig
from serving.following import Follower
from serving.gateway import metrics
from serving.gateway.app import make_app
from serving.gateway.arm_client import RemoteArm
from serving.gateway.assignment import Assignments
from serving.gateway.exposures import ExposureLog
from serving.gateway.fallback import PopularItems
from serving.gateway.server import GatewayServer
from serving.gateway.service import SlateService
from serving.model_board import ModelBoard
from serving.ramps import Ramps
from serving.wire import ActorStats
from springtide.contracts.control import Ramp
from springtide.contracts.errors import ExitCode, StackError
from springtide.contracts.features import FEAST_FOLDER
from springtide.contracts.topics import CATALOGUE, CONTROL, EVENTS, MODEL_UPDATES
from springtide.runtime.clock import SystemClock
from springtide.runtime.command_line import Runtime
from springtide.runtime.config import BundlesConfig, KafkaConfig
from springtide.runtime.kafka import servers, wait_for_topics

_log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
"""Wall time between two looks at the actors."""


def serve(runtime: Runtime) -> None:
    """Serve until the end is asked for."""
    serving: ServingConfig = runtime.sections["serving"]
    experiment: ExperimentConfig = runtime.sections["experiment"]
    bundles: BundlesConfig = runtime.sections["bundles"]
    runtime.health.update(status="waiting for the broker")
    wait_for_topics(runtime.kafka, [CATALOGUE.name, CONTROL.name, EVENTS.name, MODEL_UPDATES.name])
    runtime.reporter.start()
    runtime.health.update(status="starting Ray")
    settings = {
        arm.name: ArmSettings(
            arm=arm,
            serving=serving,
            kafka=runtime.kafka,
            feature_folder=runtime.process.state_folder.absolute() / FEAST_FOLDER,
            bundle_root=bundles.root(runtime.process.state_folder.absolute()),
            log_level=runtime.process.log_level,
        )
        for arm in experiment.arms
    }
    open_ray(serving, len(settings))
    runtime.shutdown.install()  # again: Ray takes SIGTERM over, and aborts the process three seconds after it
    try:
        _serve(runtime, serving, experiment, start_arms(settings, serving.actor_cpus))
    finally:
        close_ray()
        runtime.reporter.stop()


def _serve(
    runtime: Runtime, serving: ServingConfig, experiment: ExperimentConfig, actors: Mapping[str, ActorCalls]
) -> None:
    assignments, popular = Assignments(experiment), PopularItems()
    exposures = _exposure_log(runtime.kafka, serving)
    service = SlateService(
        arms={name: RemoteArm(name, actor.ranked, FAILURES) for name, actor in actors.items()},
        assignments=assignments,
        popular=popular,
        exposures=exposures,
        producer=runtime.process.instance or "serving-0",
        deadline_seconds=serving.deadline.total_seconds(),
        window_seconds=serving.batch_window.total_seconds(),
        max_batch=serving.max_batch,
        repeat_memory=serving.repeat_memory,
    )
    board = ModelBoard(
        {arm.name: arm.chain for arm in experiment.arms},
        report=runtime.reporter.swap,
        now_ms=SystemClock().now_ms,
        request_time_ms=lambda: service.newest_request_ms,
    )
    chains = {arm.name: arm.chain for arm in experiment.arms if arm.ranking == "model"}
    models = ModelAnnouncements(actors, chains, board)
    ramps = Ramps(assignments, _marker(runtime, service))
    followers = {
        "model-updates": Follower(runtime.kafka, [MODEL_UPDATES.name], models.take, after_poll=models.hand_over),
        "control": Follower(runtime.kafka, [CONTROL.name], ramps.take),
    }
    server = GatewayServer(make_app(service, exposures, board.models), runtime.process.host, serving.port)
    try:
        for follower in followers.values():
            follower.start()
        server.start()
        _log.info("gateway on http://%s:%d", runtime.process.host, server.port)
        runtime.health.update(port=server.port)
        while not runtime.shutdown.wait(EVERY_SECONDS):
            if not server.running:
                raise StackError("gateway: expected it to run, got its end; see the log above", ExitCode.PROCESS_FAILED)
            _watch(runtime, actors, board, popular)
            for name, follower in followers.items():
                metrics.BAD_MESSAGES.labels(name).set(follower.bad_messages)
    finally:
        runtime.health.update(ready=False, status="stopping")
        for follower in followers.values():
            follower.ask_to_stop()
        server.stop()
        for follower in followers.values():
            follower.stop()


def _exposure_log(kafka: KafkaConfig, serving: ServingConfig) -> ExposureLog:
    def make_producer() -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=servers(kafka), acks="all", enable_idempotence=True, max_batch_size=1_000_000
        )

    return ExposureLog(
        make_producer,
        kafka.topic(EVENTS.name),
        wait_seconds=serving.exposure_wait.total_seconds(),
        backlog=serving.exposure_backlog,
    )


def _marker(runtime: Runtime, service: SlateService) -> Callable[[Ramp], None]:
    """Make what puts ramps on the charts; those from before this start are history, read again."""
    started_ms = SystemClock().now_ms()

    def mark(ramp: Ramp) -> None:
        if ramp.issued_ms >= started_ms:
            text = f"{ramp.experiment} enrols {100 * ramp.enrolled:.0f} % of users"
            runtime.reporter.mark("ramp", text, service.newest_request_ms)

    return mark


def _watch(runtime: Runtime, actors: Mapping[str, ActorCalls], board: ModelBoard, popular: PopularItems) -> None:
    stats = read_stats(actors, wait_seconds=EVERY_SECONDS)
    board.heard(stats)
    newest = max(stats.values(), key=lambda found: found.feature_time_ms, default=None)
    if newest is not None and newest.popular:
        popular.replace(newest.popular)
    waiting = missing(actors, stats)
    runtime.health.update(ready=not waiting, status=waiting or _status(stats), rolled_back=board.rolled_back())


def missing(actors: Mapping[str, ActorCalls], stats: Mapping[str, ActorStats]) -> str:
    """Say what is lacking before requests can be answered; empty: nothing."""
    if absent := sorted(set(actors) - set(stats)):
        return f"waiting for arm {', '.join(absent)}"
    if opening := sorted(name for name, found in stats.items() if found.features == "opening"):
        return f"opening the online features in arm {', '.join(opening)}"
    return ""


def _status(stats: Mapping[str, ActorStats]) -> str:
    if any(not found.items for found in stats.values()):
        return "no catalogue yet: requests are told to come again"
    return ", ".join(f"{name}: {found.version or 'popular items'}" for name, found in sorted(stats.items()))
