"""`python -m simulator`: users for the running system, baselines without it, or the replay of a log."""

import sys

from simulator.config import SimulatorConfig
from simulator.live import run_live
from simulator.offline import run_offline
from simulator.replay.config import ReplayConfig
from simulator.replay.run import run_replay
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
    if config.step > labels.allowed_lateness:
        raise ConfigError(
            [
                f"simulator.step: expected at most labels.allowed_lateness ({labels.allowed_lateness}), "
                f"got {config.step}; lower it, or events of one step come too late"
            ]
        )
    if config.mode == "offline":
        run_offline(config, labels)
    else:
        run_live(runtime, config, labels)


if __name__ == "__main__":
    sys.exit(run_process("simulator", "Simulated users of a shop, or the replay of a real log.", SECTIONS, main))
