"""`python -m trainer --config FILE`."""

import sys

from springtide.model.config import ModelConfig
from springtide.runtime.command_line import Runtime, run_process
from springtide.runtime.config import BundlesConfig, LabelsConfig
from trainer.config import TrainerConfig
from trainer.quiet import quiet_kafka


def main(runtime: Runtime) -> None:
    """Learn until asked to end."""
    from trainer.driver import Driver
    from trainer.gauges import Gauges

    quiet_kafka()
    runtime.reporter.start()
    try:
        Driver(runtime, Gauges()).run()
    finally:
        runtime.reporter.stop()


if __name__ == "__main__":
    sys.exit(
        run_process(
            "trainer",
            "Learns from the sample stream and publishes model bundles.",
            {"trainer": TrainerConfig, "model": ModelConfig, "labels": LabelsConfig, "bundles": BundlesConfig},
            main,
        )
    )
