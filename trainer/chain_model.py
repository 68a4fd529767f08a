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
from springtide.model.delayed.arrival import Arrival, arrival_evidence
from springtide.model.delayed.logistic_filter import Evidence
from springtide.model.delayed.phases import Method
from springtide.model.delayed.rows import StreamRows
from springtide.model.dense_features import DENSE_FEATURES
from springtide.model.id_map import Rows
from springtide.model.id_table import IdTable
from springtide.model.initial import initial_vectors
from springtide.model.inputs import FEATURES, RawColumns, columns_from_samples, lookup_all
from springtide.model.level import HOURS, evidence
from springtide.model.targets import FINAL, WHOLE, Targets, targets_from_samples
from springtide.runtime.settings import milliseconds
from trainer.failpoints import reach
from trainer.objective import Objective, StepCounts, Taught
from trainer.observations import Announcement, observe_all, summarize
from trainer.process_group import gather_messages, sum_over_ranks, union_of_masks
from trainer.sharded import ShardedNetwork, Tensors
from trainer.task_weighting import make_weighting

_CLOCK = "clock"
"""In a state: steps learned so far, and the hour up to which ids have expired."""

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


class _Heard(NamedTuple):
    """What a batch said beside its labels."""

    level_2KT: Tensor
    """See level.py."""
    arrival: Evidence | None
    """Of how soon labels come, where that is learned."""


class ChainModel:
    """A model that learns with all other ranks in step.

    Args:
        config: of the model.
        group: the ranks.
        method: of delayed feedback.
        observed_age_ms: age at which observed rows are due; needed by a method that learns final rows beside others.
        delays_by_features: learn how soon labels come from the dense features, row by row (arrival.py).
    """

    def __init__(
        self,
        config: ModelConfig,
        group: Any,
        method: Method,
        observed_age_ms: int | None = None,
        delays_by_features: bool = False,
    ) -> None:
        self.config = config
        self.network = ShardedNetwork(config, group)
        self._objective = Objective(config, method, group.size(), self.network.auxiliary_losses)
        self._observed_age_ms = observed_age_ms
        self._first_phase = FINAL if method == "wait" else WHOLE
        self._arrival = Arrival(len(DENSE_FEATURES) + 1, len(TASKS)) if delays_by_features else None
        self._weighting = make_weighting(config, self.network, group)
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
        self._learned_steps = 0

    def run(self, batches: Sequence[Sequence[Sample]], mode: Mode, arrived_KT: Tensor, exhausted: bool) -> Outcome:
        """Score this rank's batches and, in mode `learn`, learn each right after; every rank calls it together.

        Args:
            batches: of whole slates; a rank may have none.
            mode: `score` changes nothing.
            arrived_KT: share of each task's labels that come within the observation window and k hours more, 0 to 1;
                NaN while unknown: then `es-dfm` has weights of 1, which is `vanilla`, and levels wait.
            exhausted: this rank has nothing more to read for now.
        """
        columns = [columns_from_samples(batch) for batch in batches]
        targets = [targets_from_samples(batch, self._observed_age_ms) for batch in batches]
        newest_ms = max((int(part.time_S.max()) for part in columns), default=0)
        own = Announcement(
            rows_ST=[self._objective.rows(part) for part in targets],
            slates_ST=[self._objective.slates(*part) for part in zip(columns, targets, strict=True)],
            newest_ms=newest_ms,
            exhausted=exhausted,
            tables=summarize(columns) if mode == "learn" else {},
        )
        everyone = gather_messages(own, Announcement)
        newest_ms = max(other.newest_ms for other in everyone)
        if mode == "learn":
            self._update_ids(everyone, newest_ms)
        rows = lookup_all(columns, self.ids)
        scored = []
        heard: list[_Heard] = []
        for step, counts in enumerate(_counts_per_step(everyone)):
            mine = (columns[step], targets[step]) if step < len(batches) else None
            arrived_BT = self._arrived(mine, arrived_KT[0].nan_to_num(1.0))
            probabilities_NT = self._step(mine, rows[step] if mine else {}, mode, arrived_BT, counts)
            if mine is not None:
                if mode == "learn":
                    heard.append(self._hear(*mine, torch.from_numpy(probabilities_NT), arrived_BT, newest_ms))
                scored.append(
                    ScoredBatch(samples=batches[step], targets=targets[step], probabilities_NT=probabilities_NT)
                )
        if mode == "learn":
            self._follow(heard, newest_ms, arrived_KT)
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
        state = self.network.local_state() | self._weighting.state()
        for table, ids in self.ids.items():
            state |= {f"ids.{table}.{part}": torch.from_numpy(array) for part, array in ids.to_arrays().items()}
        if self._arrival is not None:
            state |= {f"arrival.{name}": tensor.clone() for name, tensor in self._arrival.state_dict().items()}
        state[_CLOCK] = torch.tensor([self._learned_steps, self._expired_hour])
        return state

    def load_local_state(self, state: Tensors) -> None:
        """Become what `local_state` returned, of any number of ranks laid together. What changed since is forgotten.

        How soon labels come is no part of what is learned of them: a state without it, such as the daily chain's,
        leaves it as it is.
        """
        self.network.load_local_state(state)
        delays = {name.removeprefix("arrival."): part for name, part in state.items() if name.startswith("arrival.")}
        if self._arrival is not None and delays:
            self._arrival.load_state_dict(delays)
        self._weighting.load_state(state)
        for table, ids in self.ids.items():
            prefix = f"ids.{table}."
            ids.load_arrays(
                {name.removeprefix(prefix): part.numpy() for name, part in state.items() if name.startswith(prefix)}
            )
            ids.take_journal()
            self._touched[table].zero_()
        clock = state.get(_CLOCK, torch.zeros(2))  # releases before had none
        self._learned_steps, self._expired_hour = int(clock[0]), int(clock[1])

    def _arrived(self, mine: Taught | None, arrived_T: Tensor) -> Tensor:
        """Return F of each row, (B, T), or the delay curve's (T,) where it is that for all."""
        if mine is None or self._arrival is None:
            return arrived_T
        arrived_BT: Tensor = self._arrival(_delay_inputs(mine[0]), arrived_T)
        return arrived_BT

    def _hear(self, columns: RawColumns, targets: Targets, p_NT: Tensor, arrived_BT: Tensor, newest_ms: int) -> _Heard:
        level_2KT = evidence(targets, columns.time_S[columns.slate_N], newest_ms, self._first_phase, p_NT)
        if self._arrival is None:
            return _Heard(level_2KT, None)
        rows = StreamRows.of(targets, p_NT, arrived_BT)
        said = arrival_evidence(_delay_inputs(columns), rows, torch.from_numpy(targets.sampling_N))
        return _Heard(level_2KT, said)

    def _follow(self, heard: Sequence[_Heard], newest_ms: int, arrived_KT: Tensor) -> None:
        """Let levels and delays follow what all ranks have heard; every rank calls it together."""
        if any(self.config.level_drift.values()):
            none_2KT = torch.zeros(2, HOURS, len(TASKS), dtype=torch.float64)
            told_KT = torch.ones_like(arrived_KT) if self._first_phase == FINAL else arrived_KT
            total_2KT = sum_over_ranks(sum((part.level_2KT for part in heard), none_2KT))
            self.network.follow(total_2KT, newest_ms, told_KT)
        if self._arrival is not None:
            said = [part.arrival for part in heard if part.arrival is not None]
            parts = zip(self._arrival.nothing(), *said, strict=True)
            self._arrival.follow(Evidence(*(sum_over_ranks(torch.stack(part).sum(dim=0)) for part in parts)))

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

    def _step(
        self, mine: Taught | None, rows: dict[str, Rows], mode: Mode, arrived_BT: Tensor, counts: StepCounts
    ) -> Floats:
        """Run one step, on table rows per feature; returns this rank's probabilities (N, T)."""
        batch = self._batch(mine, rows, mode)
        if mode == "learn":  # what is noise on purpose is drawn by the step, so that a resumed run draws the same
            reach("stepping")
            self._learned_steps += 1
            torch.manual_seed(self.config.seed + self._learned_steps)
        with torch.set_grad_enabled(mode == "learn"):
            output = self.network.forward(batch, learning=mode == "learn")
        p_BT = output.logp_BT.detach().exp()
        if mode == "learn":
            losses_T = self._objective.losses(output, mine, arrived_BT, counts)
            self.network.learn(self._weighting.combine(losses_T, counts.rows_T > 0) + self.network.extra_loss())
        scores: Floats = p_BT.numpy()
        return scores

    def _batch(self, mine: Taught | None, rows: dict[str, Rows], mode: Mode) -> Batch:
        if mine is None:
            return Batch.empty(1, steps=self.config.reads_steps)
        columns, targets = mine
        if mode == "learn":
            for feature in FEATURES:
                self._touched[feature.table][torch.from_numpy(rows[feature.name])] = 1
        return make_batch(columns, rows, targets.labels_NT, steps=self.config.reads_steps)


def _delay_inputs(columns: RawColumns) -> Tensor:
    """Return the dense features and a constant, (N, D)."""
    dense_NF = torch.from_numpy(columns.dense_NF)
    return torch.cat([dense_NF, torch.ones(len(dense_NF), 1)], dim=1)


def _counts_per_step(everyone: Sequence[Announcement]) -> Iterator[StepCounts]:
    """Yield what all ranks' batches hold together, step by step."""
    for step in range(max(len(other.rows_ST) for other in everyone)):
        told = [other for other in everyone if step < len(other.rows_ST)]
        yield StepCounts(
            rows_T=torch.tensor([other.rows_ST[step] for other in told]).sum(dim=0),
            slates_T=torch.tensor([other.slates_ST[step] for other in told]).sum(dim=0),
        )
