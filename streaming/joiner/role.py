"""The role `joiner`."""

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client.core import Metric

from springtide.contracts.topics import DEAD_LETTER, EVENTS, SAMPLES
from springtide.runtime.command_line import Runtime
from streaming.event_clock import as_clock
from streaming.joiner.join import Joiner
from streaming.joiner.metrics import JoinerMetrics
from streaming.joiner.windows import Windows
from streaming.role import Cores
from streaming.shell.job import JobSpec


class JoinerRole:
    """Joins `events` into `samples`; see streaming/role.py."""

    name = "joiner"
    needs: Sequence[str] = (EVENTS.name, SAMPLES.name, DEAD_LETTER.name)
    internal: Sequence[str] = ()

    def __init__(self, runtime: Runtime) -> None:
        windows, config = Windows.of(runtime.sections["labels"]), runtime.sections["joiner"]
        self._metrics = JoinerMetrics()

        def make(partition: int) -> Joiner:
            return Joiner(partition=partition, windows=windows, config=config)

        self.specs: Sequence[JobSpec[Any]] = (
            JobSpec(name="joiner", topic=EVENTS.name, make=make, after_trigger=self._metrics.after_trigger),
        )

    def start(self) -> None:
        """Nothing runs beside the job."""

    def stop(self) -> None:
        """Nothing runs beside the job."""

    def read(self, cores: Cores) -> Iterable[Metric]:
        """Read the ledgers."""
        return self._metrics.read(_joiners(cores))

    def line(self, cores: Cores) -> str:
        """Tell watermark, open slates and rows."""
        joiners = _joiners(cores)
        marks = [core.watermark_ms for core in joiners if core.watermark_ms is not None]
        slates = sum(core.book.open_slates for core in joiners)
        rows = sum(sum(core.ledger.rows.values()) for core in joiners)
        return f"watermark {as_clock(min(marks, default=None))}, {slates:,} slates open, {rows:,} rows"


def _joiners(cores: Cores) -> list[Joiner]:
    return [core for core in cores["joiner"] if isinstance(core, Joiner)]
