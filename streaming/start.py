"""Puts the process together from its settings."""

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import Metric

from springtide.contracts.errors import ConfigError
from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from springtide.runtime.command_line import Runtime
from springtide.runtime.kafka import wait_for_topics
from streaming.joiner.join import Joiner
from streaming.joiner.windows import Windows
from streaming.shell.changelog import prepare_topics
from streaming.shell.job import Job, JobSpec
from streaming.shell.joiner_metrics import JoinerMetrics
from streaming.shell.status import NumberReader, Status, as_clock
from streaming.shell.stream_app import StreamApp, changelog_name, make_app
from streaming.shell.worker import run_worker


def main(runtime: Runtime) -> None:
    """Run the role's jobs until the end is asked for."""
    sections = runtime.sections
    problems = list(sections["joiner"].problems_with(sections["labels"]))
    if problems:
        raise ConfigError(problems)
    role = sections["streaming"].role
    wait_for_topics(runtime.kafka, [EVENTS.name, SAMPLES.name, DEAD_LETTER.name])
    specs, readers = _joiner_job(runtime)
    prepare_topics(runtime.kafka, [changelog_name(role, spec.name, runtime.kafka) for spec in specs], [])
    runtime.reporter.start()

    def make() -> tuple[StreamApp, Status]:
        app = make_app(role, runtime.kafka, sections["streaming"], runtime.process.state_folder, specs)
        stall = sections["streaming"].commit_stall.total_seconds()
        return app, Status(app, runtime.health, stall, readers, lambda: _line(app))

    try:
        run_worker(make, runtime.shutdown)
    finally:
        runtime.reporter.stop()


def _joiner_job(runtime: Runtime) -> tuple[list[JobSpec[Any]], dict[str, NumberReader]]:
    windows, config = Windows.of(runtime.sections["labels"]), runtime.sections["joiner"]
    metrics = JoinerMetrics()

    def make(partition: int) -> Joiner:
        return Joiner(partition=partition, windows=windows, config=config)

    def read(job: Job[Any]) -> Iterable[Metric]:
        return metrics.read(list(job.cores.values()))

    spec = JobSpec(name="joiner", topic=EVENTS.name, make=make, after_trigger=metrics.after_trigger)
    return [spec], {spec.name: read}


def _line(app: StreamApp) -> str:
    joiners = [core for job in app.jobs for core in job.cores.values() if isinstance(core, Joiner)]
    marks = [core.watermark_ms for core in joiners if core.watermark_ms is not None]
    slates = sum(core.book.open_slates for core in joiners)
    rows = sum(sum(core.ledger.rows.values()) for core in joiners)
    return f"watermark {as_clock(min(marks, default=None))}, {slates:,} slates open, {rows:,} rows"
