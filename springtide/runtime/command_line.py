"""The flags of every process: --config, --set, --check, --log-level. Frozen by a test."""

import argparse
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from springtide.contracts.errors import ExitCode, SpringtideError
from springtide.runtime.config import KafkaConfig, ProcessConfig
from springtide.runtime.health import Health, serve_health
from springtide.runtime.log_setup import set_up_logging
from springtide.runtime.reports import Reporter
from springtide.runtime.settings import apply_overrides, build_sections, plain, read_profile
from springtide.runtime.shutdown import Shutdown

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """What a started process has at hand."""

    process: ProcessConfig
    kafka: KafkaConfig
    sections: Mapping[str, Any]
    """Each owned section's dataclass, by name."""
    health: Health
    reporter: Reporter
    shutdown: Shutdown


def make_parser(name: str, summary: str) -> argparse.ArgumentParser:
    """Make the parser that every process shares."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=summary)
    parser.add_argument("--config", type=Path, default=Path("config/base.toml"), help="settings profile (TOML)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="sets", help="override one setting"
    )
    parser.add_argument("--check", action="store_true", help="check the settings, print them, and stop")
    parser.add_argument("--log-level", default=None, help="DEBUG, INFO, WARNING or ERROR")
    return parser


def run_process(
    name: str,
    summary: str,
    sections: Mapping[str, type[Any]],
    main: Callable[[Runtime], None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse, check, start health and reports, run `main`, and turn its end into an exit code.

    Args:
        name: folder of the process, also its name in logs, health and reports.
        summary: one line for --help.
        sections: the settings sections it owns, beside `process` and `kafka`.
        main: blocks until `runtime.shutdown` is requested or the work is done.
        arguments: command line, without the program.
    """
    given = make_parser(name, summary).parse_args(arguments)
    set_up_logging(name, given.log_level or "INFO")
    try:
        values = apply_overrides(read_profile(given.config), os.environ, given.sets)
        built = build_sections(values, {"process": ProcessConfig, "kafka": KafkaConfig, **sections})
        if given.check:
            sys.stdout.write(json.dumps({key: plain(value) for key, value in built.items()}, indent=2) + "\n")
            return ExitCode.OK
        return _run(name, built, main, given.log_level)
    except SpringtideError as error:
        _log.error("%s", error)
        return error.exit_code


def _run(name: str, built: dict[str, Any], main: Callable[[Runtime], None], log_level: str | None) -> int:
    process, kafka = built["process"], built["kafka"]
    set_up_logging(process.instance or name, log_level or process.log_level)
    shutdown = Shutdown().install()
    health = Health(process.instance or name)
    server, port = serve_health(health, process.host, process.health_port)
    _log.info("settings", extra={"settings": {key: plain(value) for key, value in built.items()}})
    _log.info("health and metrics on %s:%d", process.host, port)
    reporter = Reporter(process, kafka, health)
    runtime = Runtime(process=process, kafka=kafka, sections=built, health=health, reporter=reporter, shutdown=shutdown)
    try:
        main(runtime)
        health.update(status="stopped")
        return ExitCode.OK
    finally:
        health.update(ready=False)
        server.shutdown()
