"""Faust's recovery of tables, at whose end the jobs begin; Faust's own callback for that would swallow a failure."""

from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery


class CoreRecovery(Recovery):  # type: ignore[misc]
    """Begins the cores of everything that is assigned once their tables are whole, before any record is let through.

    So a partition is seen in the metrics, and what was due in it is known, though no record of it may come for long.
    """

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Begin the cores, unless a rebalance has overtaken this recovery."""
        for job in self.app.jobs:
            partitions = sorted(tp.partition for tp in self.actives_for_table[job.table])
            await job.begin(partitions, generation_id)
        await super().on_recovery_completed(generation_id)


class JobTables(TableManager):  # type: ignore[misc]
    """All tables of an application, with this recovery."""

    _recovery: Any = None

    @property
    def recovery(self) -> Any:
        """The recovery service, made when it is first asked for."""
        if self._recovery is None:
            self._recovery = CoreRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
