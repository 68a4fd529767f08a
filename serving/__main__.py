"""`python -m serving --config FILE`."""

import sys

from serving.config import ExperimentConfig, ServingConfig
from serving.process import serve
from springtide.runtime.command_line import run_process
from springtide.runtime.config import BundlesConfig

if __name__ == "__main__":
    sys.exit(
        run_process(
            "serving",
            "Answer slate requests with the newest models.",
            {"serving": ServingConfig, "experiment": ExperimentConfig, "bundles": BundlesConfig},
            serve,
        )
    )
