"""`python -m local_stack.broker.create_topics --config FILE`: creates the contract's topics and ends."""

from __future__ import annotations

import os
import sys

from kafka.errors import KafkaError

from local_stack.broker.topics import create_topics, plan_topics
from springtide.contracts.errors import ExitCode, SpringtideError
from springtide.runtime.command_line import make_parser
from springtide.runtime.config import KafkaConfig
from springtide.runtime.settings import apply_overrides, build_sections, read_profile


def main() -> int:
    """Create what is missing; the exit code says whether the broker obeyed."""
    given = make_parser("local_stack.broker.create_topics", "Create the topics, then end.").parse_args()
    try:
        values = apply_overrides(read_profile(given.config), os.environ, given.sets)
        kafka: KafkaConfig = build_sections(values, {"kafka": KafkaConfig})["kafka"]
        created = create_topics(kafka.bootstrap, plan_topics(kafka))
    except SpringtideError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KafkaError as error:
        print(f"kafka.bootstrap: expected a broker at {kafka.bootstrap}, got {error!r}; start it", file=sys.stderr)
        return ExitCode.BROKER
    print(f"created {len(created)} topics: {', '.join(created) or 'all were there'}", flush=True)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
