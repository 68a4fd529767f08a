"""`python -m simulator`: users for the running system, baselines without it, or the replay of a log."""

import sys
from datetime import timedelta

from simulator.config import SimulatorConfig
from simulator.live import run_live
from simulator.offline import run_offline
from simulator.replay.config import ReplayConfig
from simulator.replay.run import run_replay
from simulator.story import LONGEST_HOLD_MS
from springtide.contracts.errors import ConfigError
from springtide.runtime.command_line import Runtime, run_process
from springtide.runtime.config import LabelsConfig

SECTIONS = {"simulator": SimulatorConfig, "labels": LabelsConfig, "replay": ReplayConfig}


def main(runtime: Runtime) -> None:
    """Run in the configured mode."""
    config: SimulatorConfig = runtime.sections["simulator"]
    labels: LabelsConfig = runtime.sections["labels"]
    if config.mode == "replay":
        run_replay(runtime, config, labels, runtime.sections["replay"])
        return
    if config.mode == "offline":
        run_offline(config, labels)
    else:
        check_step(config, labels)
        run_live(runtime, config, labels)


def check_step(config: SimulatorConfig, labels: LabelsConfig) -> None:
    """Check that an event told late by a fault is still in time.

    Raises:
        ConfigError: a step and the longest hold are together longer than the allowed lateness.
    """
    most = labels.allowed_lateness - timedelta(milliseconds=LONGEST_HOLD_MS)
    if config.step > most:
        raise ConfigError(
            [
                f"simulator.step: expected at most {most}, labels.allowed_lateness less the longest hold of a fault, "
                f"got {config.step}; lower it, or late events of a step are too late for their windows"
            ]
        )


if __name__ == "__main__":
    sys.exit(run_process("simulator", "Simulated users of a shop, or the replay of a real log.", SECTIONS, main))
