"""`python -m streaming --config FILE [--set streaming.role=joiner|features]`."""

import sys

from springtide.runtime.command_line import run_process
from springtide.runtime.config import LabelsConfig
from streaming.config import FeaturesConfig, JoinerConfig, StreamingConfig
from streaming.start import main

if __name__ == "__main__":
    sections = {
        "labels": LabelsConfig,
        "streaming": StreamingConfig,
        "joiner": JoinerConfig,
        "features": FeaturesConfig,
    }
    sys.exit(run_process("streaming", "Joins delayed labels to slates and keeps rolling features.", sections, main))
