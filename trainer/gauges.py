"""The trainer's Prometheus metrics."""

from prometheus_client import Counter, Gauge

from springtide.contracts import metric_names
from springtide.contracts.tasks import TASKS
from springtide.quality.task_quality import QualityReport
from trainer.days import day_end_ms
from trainer.forgetting import OldDay
from trainer.messages import CallReport
from trainer.progress import Progress


class Gauges:
    """Made once per process."""

    def __init__(self) -> None:
        self._learned = _counter(metric_names.SAMPLES_LEARNED, "Item rows learned.", "chain", "phase")
        self._newest = Gauge(metric_names.TRAIN_NEWEST, "Newest impression learned.", ["chain"])
        self._quality = Gauge(
            metric_names.PROGRESSIVE, "Scored before learned, on closed labels.", ["chain", "task", "metric"]
        )
        self._bundles = _counter(metric_names.BUNDLES, "Bundles published.", "chain", "kind")
        self._refused = _counter("springtide_bundles_refused_total", "Bundles not published.", "chain")
        self._repeated = Gauge("springtide_train_repeated_rows", "Rows refused as seen before, since start.")
        self._unjudged = Gauge("springtide_train_unjudged_slates", "Final slates without held scores, since start.")
        self._late = Gauge(metric_names.TRAIN_LATE, "Final slates of days already learned, since start.")
        self._lag = Gauge(metric_names.CONSUMER_LAG, "Records that lie ahead.", ["stage", "topic", "partition"])
        self._dead = _counter(metric_names.DEAD_LETTERS, "Messages that could not be used.", "process", "reason")
        self._old_day = Gauge(metric_names.FORGETTING_DAY, "Beginning of the old day that is watched.")
        self._forgetting = Gauge(
            metric_names.FORGETTING, "An old day, scored by the base that had learned it and now.",
            ["task", "moment", "metric"],
        )  # fmt: skip
        self._arrived = Gauge(
            "springtide_train_labels_arrived_ratio", "Share of labels that come when observed.", ["task"]
        )

    def learned(self, chain: str, report: CallReport) -> None:
        """Count the rows that a call learned."""
        for phase, rows in report.rows.items():
            self._learned.labels(chain, phase).inc(rows)

    def newest(self, chain: str, newest_ms: int) -> None:
        """Set a chain's newest impression, event time; 0 is none."""
        if newest_ms:
            self._newest.labels(chain).set(newest_ms / 1000)

    def live(self, report: CallReport) -> None:
        """Note what reading on has brought."""
        self._repeated.set(report.repeated)
        self._unjudged.set(report.unjudged)
        self._late.set(report.late)
        for letter in report.dead:
            self._dead.labels("trainer", letter.reason).inc()

    def lag(self, lag: dict[int, int]) -> None:
        """Note the records that lie ahead."""
        for partition, records in lag.items():
            self._lag.labels("trainer", "samples", str(partition)).set(records)

    def published(self, chain: str, kind: str) -> None:
        """Note a publication."""
        self._bundles.labels(chain, kind).inc()

    def refused(self, chain: str) -> None:
        """Note a refusal."""
        self._refused.labels(chain).inc()

    def quality(self, chain: str, progress: Progress) -> None:
        """Set a chain's figures; provisional ones under names of their own, `observed_ne` and its like."""
        for task in TASKS:
            for maturity, prefix in (("matured", ""), ("observed", "observed_")):
                for metric, value in figures(progress.quality(chain, task, maturity).report()).items():
                    self._quality.labels(chain, task, prefix + metric).set(value)

    def old_day(self, old: OldDay) -> None:
        """Set what the daily chain knew of an old day when it had learned it, and what it knows now."""
        self._old_day.set(day_end_ms(old.day - 1) / 1000)
        for moment, told in (("then", old.then), ("now", old.now)):
            for task, values in told.items():
                for metric, value in values.items():
                    self._forgetting.labels(task, moment, metric).set(value)

    def arrived(self, shares: dict[str, float]) -> None:
        """Set the share of each task's labels that come within the observation window."""
        for task, share in shares.items():
            self._arrived.labels(task).set(share)


def figures(report: QualityReport) -> dict[str, float]:
    """Return the figures that there are, by their metric's name."""
    values = {
        "ne": report.normalized_entropy,
        "auc": report.auc,
        "calibration": report.calibration,
        "log_loss": report.log_loss,
    }
    return {name: value for name, value in values.items() if value is not None}


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name.removesuffix("_total"), text, labels)
