"""The joiner's numbers for Prometheus and the page, read from its ledgers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from springtide.contracts import metric_names as names
from springtide.contracts.tasks import TASKS, Task
from streaming.joiner.join import Joiner
from streaming.tally import Tally

_EVENT_TIME_BUCKETS: Final = (1, 10, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 3 * 86400)
_WALL_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)


class JoinerMetrics:
    """Makes metric families from all cores; `read` runs between two records, so the books balance in what it gives."""

    def __init__(self) -> None:
        delay, wait = "label time minus impression time", "watermark minus due time at emission"
        wall = "wall time from trigger to acknowledgement"
        self._delay = Tally(names.LABEL_DELAY, delay, "task", _EVENT_TIME_BUCKETS)
        self._wait = Tally(names.JOIN_WAIT, wait, "phase", _EVENT_TIME_BUCKETS)
        self._wall = Tally(names.JOIN_EMIT_WALL, wall, "phase", _WALL_BUCKETS)

    def after_trigger(self, core: Joiner, wall_seconds: float) -> None:
        """Take what the core has seen since its last trigger."""
        for task, delay_ms in core.matcher.delays:
            self._delay.add(task, delay_ms / 1000)
        for phase, wait_ms in core.emitter.waits:
            self._wait.add(phase, wait_ms / 1000)
        for phase, rows in Counter([phase for phase, _ in core.emitter.waits]).items():
            self._wall.add(phase, wall_seconds, rows)
        core.matcher.delays.clear()
        core.emitter.waits.clear()

    def read(self, cores: Sequence[Joiner]) -> Iterable[Metric]:
        """Read all ledgers."""
        for name, help_text, labels, counts in _counters(cores):
            family = CounterMetricFamily(name, help_text, labels=labels)
            for values, number in sorted(counts.items()):
                family.add_metric(values, number)
            yield family
        waiting: Counter[Task] = Counter()
        for core in cores:
            waiting.update(core.waiting())
        open_slates = sum(core.book.open_slates for core in cores)
        yield GaugeMetricFamily(names.SLATES_OPEN, "slates not final", value=open_slates)
        shown = sum(core.book.open_impressions for core in cores)
        yield GaugeMetricFamily(names.IMPRESSIONS_OPEN, "shown items whose slate is not final", value=shown)
        held = GaugeMetricFamily(names.LABELS_WAITING, "labels that came before their slate", labels=["task"])
        for task in TASKS:
            held.add_metric([task], waiting[task])
        yield held
        refunds = sum(core.book.strays.refunds for core in cores)
        yield GaugeMetricFamily(names.REFUNDS_WAITING, "refunds that came before their purchase", value=refunds)
        pending = GaugeMetricFamily(names.PENDING_BYTES, "bytes held, estimated", labels=["partition"])
        oldest = GaugeMetricFamily(names.OLDEST_OPEN_SLATE, "event time since the oldest slate", labels=["partition"])
        for core in cores:
            pending.add_metric([str(core.partition)], core.pending_bytes)
            oldest.add_metric([str(core.partition)], core.oldest_open_age_ms / 1000)
        yield from (pending, oldest)
        for tally in (self._delay, self._wait, self._wall):
            yield tally.family()


def _counters(cores: Sequence[Joiner]) -> Iterable[tuple[str, str, list[str], Counter[tuple[str, ...]]]]:
    events, duplicates, letters, slates, labels, rows = (Counter[tuple[str, ...]]() for _ in range(6))
    impressions, refunds, sampled_out, replayed = (Counter[tuple[str, ...]]() for _ in range(4))
    for ledger in (core.ledger for core in cores):
        events.update({("joiner", kind): number for kind, number in ledger.events.items()})
        duplicates.update({("joiner", kind): number for kind, number in ledger.duplicates.items()})
        letters.update({("joiner", reason): number for reason, number in ledger.dead_letters.items()})
        slates.update({(outcome,): number for outcome, number in ledger.slates.items()})
        labels.update({(task, outcome): number for (task, outcome), number in ledger.labels.items()})
        rows.update({(phase,): number for phase, number in ledger.rows.items()})
        impressions.update({(outcome,): number for outcome, number in ledger.impressions.items()})
        refunds.update({(outcome,): number for outcome, number in ledger.refunds.items()})
        sampled_out.update({(phase,): number for phase, number in ledger.sampled_out.items()})
        replayed[()] += ledger.replayed
    yield names.EVENTS_IN, "events taken in", ["process", "type"], events
    yield names.DUPLICATES, "events known already", ["process", "type"], duplicates
    yield names.DEAD_LETTERS, "events that could not be used", ["process", "reason"], letters
    yield names.SLATES, "slates by outcome", ["outcome"], slates
    yield names.LABELS, "labels by outcome", ["task", "outcome"], labels
    yield names.ROWS, "rows emitted", ["phase"], rows
    yield names.IMPRESSIONS, "shown items by outcome", ["outcome"], impressions
    yield names.REFUNDS, "refunds by outcome", ["outcome"], refunds
    yield names.SAMPLED_OUT, "items without a label left out", ["phase"], sampled_out
    yield names.REPLAYED, "records skipped, taken in before a crash", [], replayed
