"""Keeps kafka-python's own troubles with itself out of the log."""

import logging


def quiet_kafka() -> None:
    """Hide its warnings of slow turns of its own loop, and its errors about a refresh that closing cancelled."""
    logging.getLogger("kafka").setLevel(logging.ERROR)
    logging.getLogger("kafka.cluster").setLevel(logging.CRITICAL)
