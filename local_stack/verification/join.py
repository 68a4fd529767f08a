"""The rows of the run against a batch join of its events, and the quality of what was served on closed labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from local_stack.summary import Bar, Finished, at_least, at_most
from local_stack.verification.topic_reading import read_topic
from springtide.audit.batch_join import batch_join, compare
from springtide.contracts.codec import event_decoder
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import DAY_MS, EVENTS, SAMPLES
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import build_sections

CALIBRATION_FROM_DAY = 2


def check_join(run: Finished) -> Iterator[Bar]:
    """Compare every row with the batch join, byte for byte, and count what differs."""
    labels: LabelsConfig = build_sections(run.plan.values, {"labels": LabelsConfig})["labels"]
    rows = read_rows(run)
    expected = batch_join((event_decoder.decode(value) for value in read_topic(run.plan.kafka, EVENTS)), labels)
    found = compare(rows, expected)
    positives = sum(sum(column) for row in expected if row.phase == "final" for column in row.labels.values())
    yield at_least("join: rows of the batch join", len(expected), 1, "rows")
    yield at_least("join: labels in its final rows", positives, 1, "labels")
    yield at_most("join: rows missing", len(found.missing), 0, "rows")
    yield at_most("join: rows unexpected", len(found.unexpected), 0, "rows")
    yield at_most("join: rows with another payload", len(found.wrong), 0, "rows")
    yield at_most("join: one row id, two payloads", len(found.conflicts), 0, "rows")
    yield from calibration_bars(unique_final_rows(rows))


def read_rows(run: Finished) -> list[Sample]:
    """Give every row of topic `samples`, repetitions included."""
    decoder = msgspec.json.Decoder(Sample)
    return [decoder.decode(value) for value in read_topic(run.plan.kafka, SAMPLES)]


def unique_final_rows(rows: Sequence[Sample]) -> list[Sample]:
    """Give each slate's final row once."""
    return list({row.row_id: row for row in rows if row.phase == "final"}.values())


def calibration_bars(final: Sequence[Sample]) -> Iterator[Bar]:
    """Predicted over observed per task, closed labels, from the third day of the story to its end."""
    if not final:
        return
    start_ms = min(row.impression_time_ms for row in final) // DAY_MS * DAY_MS
    late = [row for row in final if row.scores and row.impression_time_ms >= start_ms + CALIBRATION_FROM_DAY * DAY_MS]
    for task in TASKS:
        predicted = sum(sum(row.scores[task]) for row in late)
        observed = sum(sum(row.labels[task]) for row in late)
        if observed:
            value = predicted / observed
            yield Bar(
                bar=f"calibration of {task}, matured, after day {CALIBRATION_FROM_DAY} (0.9 to 1.1)",
                value=round(value, 4), limit=1.1, holds=0.9 <= value <= 1.1, unit="ratio",
            )  # fmt: skip
