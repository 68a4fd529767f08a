"""Puts the process together from its settings."""

from collections.abc import Callable, Mapping
from typing import Final

from springtide.contracts.errors import ConfigError
from springtide.runtime.command_line import Runtime
from springtide.runtime.kafka import wait_for_topics
from streaming.features.role import FeaturesRole
from streaming.joiner.role import JoinerRole
from streaming.role import Role
from streaming.shell.changelog import prepare_topics
from streaming.shell.status import Status
from streaming.shell.stream_app import StreamApp, changelog_name, make_app
from streaming.shell.worker import run_worker

ROLES: Final[Mapping[str, Callable[[Runtime], Role]]] = {"joiner": JoinerRole, "features": FeaturesRole}


def main(runtime: Runtime) -> None:
    """Run the role's jobs until the end is asked for.

    Raises:
        ConfigError: sections contradict each other.
        BrokerError: topics are missing, or a changelog could lose state.
    """
    sections, kafka = runtime.sections, runtime.kafka
    problems = list(sections["joiner"].problems_with(sections["labels"]))
    if problems:
        raise ConfigError(problems)
    role: Role = ROLES[sections["streaming"].role](runtime)
    wait_for_topics(kafka, role.needs)
    changelogs = [changelog_name(role.name, spec.name, kafka) for spec in role.specs]
    prepare_topics(kafka, changelogs, [kafka.topic(name) for name in role.internal])

    def make() -> tuple[StreamApp, Status]:
        app = make_app(role.name, kafka, sections["streaming"], runtime.process.state_folder, role.specs)
        return app, Status(app, role, runtime.health, sections["streaming"].commit_stall.total_seconds())

    runtime.reporter.start()
    role.start()
    try:
        run_worker(make, runtime.shutdown)
    finally:
        role.stop()
        runtime.reporter.stop()
