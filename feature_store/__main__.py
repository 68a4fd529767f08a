"""`python -m feature_store --config FILE`."""

import sys
from typing import Any

from feature_store.config import FeatureStoreConfig
from springtide.contracts.features import FEAST_FOLDER
from springtide.contracts.topics import DEAD_LETTER, FEATURES
from springtide.runtime.command_line import Runtime, run_process
from springtide.runtime.kafka import wait_for_topics


def main(runtime: Runtime) -> None:
    """Apply the definitions, then store rows until the end is asked for."""
    # Feast imports torch wherever it is installed, for a feature that the writer has none of: 460 MB and 5 s.
    sys.modules["torch"] = None  # type: ignore[assignment]
    from feature_store.consume import consume
    from feature_store.writer import FeatureWriter

    config: Any = runtime.sections["feature_store"]
    runtime.health.update(status="opening Feast")
    writer = FeatureWriter(runtime.process.state_folder / FEAST_FOLDER, config)
    try:
        wait_for_topics(runtime.kafka, [FEATURES.name, DEAD_LETTER.name])
        runtime.reporter.start()
        try:
            consume(runtime, writer, config)
        finally:
            runtime.reporter.stop()
    finally:
        writer.close()


if __name__ == "__main__":
    summary = "Feed Feast from topic `features`: newest rows online, all rows offline."
    sys.exit(run_process("feature_store", summary, {"feature_store": FeatureStoreConfig}, main))
