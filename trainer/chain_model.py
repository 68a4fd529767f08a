"""One chain's model on one rank: sharded network, replicated id tables, and the rows changed since the last bundle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.contracts.topics import HOUR_MS
from springtide.model.batch import Batch, make_batch
from springtide.model.config import TABLES, ModelConfig
from springtide.model.delayed.phases import Method
from springtide.model.delayed.registry import BY_NAME, lesson
from springtide.model.delayed.rows import StreamRows
from springtide.model.graph import LogProbabilities
from springtide.model.id_map import Rows
from springtide.model.id_table import IdTable
from springtide.model.initial import initial_vectors
from springtide.model.inputs import FEATURES, RawColumns, columns_from_samples, lookup_all
from springtide.model.level import early_evidence
from springtide.model.loss import task_losses
from springtide.model.targets import FINAL, WHOLE, Targets, targets_from_samples
from springtide.runtime.settings import milliseconds
from trainer.observations import Announcement, observe_all, summarize
from trainer.process_group import gather_messages, sum_over_ranks, union_of_masks
from trainer.sharded import ShardedNetwork, Tensors

Floats = NDArray[np.float32]
Mode = Literal["learn", "score"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredBatch:
    """A rank's rows with the probabilities that the model gave before it learned them."""

    samples: Sequence[Sample]
    targets: Targets
    probabilities_NT: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a call did on this rank."""

    scored: list[ScoredBatch]
    steps: int
    newest_ms: int
    """Newest impression over all ranks, 0 without rows."""
    exhausted: bool
    """No rank has more for now."""


class Mine(NamedTuple):
    """A rank's own part of one step."""

    columns: RawColumns
    targets: Targets
    rows: dict[str, Rows]
    """Per feature."""


class ChainModel:
    """A model that learns with all other ranks in step.

    Args:
        config: of the model.
        group: the ranks.
        method: of delayed feedback.
        observed_age_ms: age at which observed rows are due; needed by a method that learns final rows beside others.
    """

    def __init__(self, config: ModelConfig, group: Any, method: Method, observed_age_ms: int | None = None) -> None:
        self.config = config
        self.network = ShardedNetwork(config, group)
        self._method, self._observed_age_ms = method, observed_age_ms
        self._first_phase = FINAL if method == "wait" else WHOLE
        self._world_size = group.size()
        self._task_weights_T = torch.tensor([config.task_weights[task] for task in TASKS])
        self.ids = {
            table: IdTable(
                capacity=config.capacities[table],
                admission_count=config.admission_counts[table],
                expiry_ms=milliseconds(config.expiries[table]),
            )
            for table in TABLES
        }
        self._touched = {table: torch.zeros(config.capacities[table], dtype=torch.uint8) for table in TABLES}
        self._expired_hour = 0

    def run(self, batches: Sequence[Sequence[Sample]], mode: Mode, arrived_T: Tensor, exhausted: bool) -> Outcome:
        """Score this rank's batches and, in mode `learn`, learn each right after; every rank calls it together.

        Args:
            batches: of whole slates; a rank may have none.
            mode: `score` changes nothing.
            arrived_T: share of each task's labels that come within the observation window, 0 to 1.
            exhausted: this rank has nothing more to read for now.
        """
        columns = [columns_from_samples(batch) for batch in batches]
        targets = [targets_from_samples(batch, self._observed_age_ms) for batch in batches]
        newest_ms = max((int(part.time_S.max()) for part in columns), default=0)
        own = Announcement(
            rows_ST=[self._believed(part).sum(dim=0).tolist() for part in targets],
            newest_ms=newest_ms,
            exhausted=exhausted,
            tables=summarize(columns) if mode == "learn" else {},
        )
        everyone = gather_messages(own, Announcement)
        newest_ms = max(other.newest_ms for other in everyone)
        follows = mode == "learn" and any(self.config.level_drift.values())
        if mode == "learn":
            self._update_ids(everyone, newest_ms)
        rows = lookup_all(columns, self.ids)
        scored = []
        evidence_2T = torch.zeros(2, len(TASKS), dtype=torch.float64)
        for step, rows_T in enumerate(_rows_per_step(everyone)):
            mine = Mine(columns[step], targets[step], rows[step]) if step < len(batches) else None
            probabilities_NT = self._step(mine, mode, arrived_T, rows_T)
            if mine is not None and follows:
                p_NT = torch.from_numpy(probabilities_NT)
                evidence_2T += early_evidence(targets[step], self._first_phase, p_NT, arrived_T)
            if mine is not None:
                scored.append(
                    ScoredBatch(samples=batches[step], targets=targets[step], probabilities_NT=probabilities_NT)
                )
        if follows:
            self.network.follow(sum_over_ranks(evidence_2T), newest_ms)
        return Outcome(
            scored=scored,
            steps=max(len(other.rows_ST) for other in everyone),
            newest_ms=newest_ms,
            exhausted=all(other.exhausted for other in everyone),
        )

    def take_touched(self) -> dict[str, Tensor]:
        """Return, once, the rows changed on any rank since the last call, ascending; every rank calls it together."""
        touched = {}
        for table, mask in self._touched.items():
            touched[table] = torch.nonzero(union_of_masks(mask)).view(-1)
            mask.zero_()
        return touched

    def local_state(self) -> Tensors:
        """Return all that this rank holds; id tables are equal on every rank."""
        state = self.network.local_state()
        for table, ids in self.ids.items():
            state |= {f"ids.{table}.{part}": torch.from_numpy(array) for part, array in ids.to_arrays().items()}
        return state

    def load_local_state(self, state: Tensors) -> None:
        """Become what `local_state` returned, of any number of ranks laid together. What changed since is forgotten."""
        self.network.load_local_state(state)
        for table, ids in self.ids.items():
            prefix = f"ids.{table}."
            ids.load_arrays(
                {name.removeprefix(prefix): part.numpy() for name, part in state.items() if name.startswith(prefix)}
            )
            ids.take_journal()
            self._touched[table].zero_()

    def _believed(self, targets: Targets) -> Tensor:
        maturity_NT, told_NT = torch.from_numpy(targets.maturity_NT), torch.from_numpy(targets.told_NT)
        return BY_NAME[self._method].believed(maturity_NT, told_NT)

    def _update_ids(self, everyone: Sequence[Announcement], newest_ms: int) -> None:
        observe_all(self.ids, everyone)
        if newest_ms // HOUR_MS > self._expired_hour:
            self._expired_hour = newest_ms // HOUR_MS
            for ids in self.ids.values():
                ids.expire(newest_ms)
        for table, ids in self.ids.items():
            rows = ids.rows_to_reset()
            if len(rows):
                vectors_RD = initial_vectors(table, rows, self.config.embedding_dim, self.config.seed)
                self.network.reset_rows(table, rows, vectors_RD)
                self._touched[table][torch.from_numpy(rows)] = 1

    def _step(self, mine: Mine | None, mode: Mode, arrived_T: Tensor, rows_T: Tensor) -> Floats:
        """Run one step; returns this rank's probabilities (N, T)."""
        batch = self._batch(mine, mode)
        with torch.set_grad_enabled(mode == "learn"):
            output = self.network.forward(batch, learning=mode == "learn")
        p_BT = output.logp_BT.detach().exp()
        if mode == "learn":
            losses_T = self._losses(output, p_BT, mine, arrived_T, rows_T)
            self.network.learn((losses_T * self._task_weights_T).sum() + self.network.extra_loss())
        scores: Floats = p_BT.numpy()
        return scores

    def _losses(
        self,
        output: LogProbabilities,
        p_BT: Tensor,
        mine: Mine | None,
        arrived_T: Tensor,
        rows_T: Tensor,
    ) -> Tensor:
        """Return each task's loss, (T,), scaled so that its mean over ranks is the mean over all ranks' rows."""
        if mine is None:  # one row that teaches nothing, but every rank must go backward
            return output.logp_BT.sum(dim=0) * 0.0
        rows = StreamRows.of(mine.targets, p_BT, arrived_T)
        taught = lesson(self._method, rows, torch.from_numpy(mine.targets.sampling_N))
        # DDP and TorchRec average gradients over ranks as if all had equally many rows: undo that.
        share_T: Tensor = (taught.weights_BT > 0.0).sum(dim=0) * self._world_size / rows_T.clamp(min=1)
        seen = BY_NAME[self._method].seen(output, rows)
        return task_losses(seen, taught.labels_BT, taught.weights_BT) * share_T

    def _batch(self, mine: Mine | None, mode: Mode) -> Batch:
        if mine is None:
            return Batch.empty(1)
        if mode == "learn":
            for feature in FEATURES:
                self._touched[feature.table][torch.from_numpy(mine.rows[feature.name])] = 1
        return make_batch(mine.columns, mine.rows, mine.targets.labels_NT)


def _rows_per_step(everyone: Sequence[Announcement]) -> Iterator[Tensor]:
    """Yield the unmasked rows of all ranks per task, (T,), step by step."""
    for step in range(max(len(other.rows_ST) for other in everyone)):
        yield torch.tensor([other.rows_ST[step] for other in everyone if step < len(other.rows_ST)]).sum(dim=0)
