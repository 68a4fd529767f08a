"""Rows seen, where days lie, batches, held scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.contracts.errors import ShapeError
from springtide.model.targets import targets_from_samples
from trainer.held_scores import HeldScores, join_judged, judge_now
from trainer.packing import pack, shuffled
from trainer.sample_index import SampleIndex
from trainer.seen_rows import SeenRows

HOUR = 3_600_000
ONES = np.ones(2, np.float32)


def test_a_repeated_row_is_refused_and_counted() -> None:
    seen = SeenRows(2 * HOUR)
    assert [seen.add(row, HOUR) for row in ("a", "b", "a")] == [True, True, False]
    assert seen.repeated == 1


def test_rows_are_forgotten_by_event_time_only() -> None:
    seen = SeenRows(2 * HOUR)
    seen.add("old", 0)
    seen.add("edge", HOUR)
    seen.add("new", 3 * HOUR)
    assert len(seen) == 2
    assert not seen.add("edge", HOUR)
    assert seen.add("old", 0)


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 10 * HOUR)), max_size=30))
def test_a_set_comes_back_as_it_was(rows: list[tuple[str, int]]) -> None:
    seen = SeenRows(4 * HOUR)
    for row, time_ms in rows:
        seen.add(row, time_ms)
    again = SeenRows(4 * HOUR)
    again.load(seen.to_arrays())
    assert len(again) == len(seen)
    newest = max((time_ms for _, time_ms in rows), default=0)
    kept = [(row, time_ms) for row, time_ms in rows if time_ms // HOUR >= newest // HOUR - 4]
    assert not [row for row, time_ms in kept if again.add(row, time_ms)]


def test_a_span_covers_every_row_of_the_days() -> None:
    index = SampleIndex()
    for offset, (kind, day) in enumerate([("fast", 1), ("fast", 2), ("final", 1), ("fast", 1), ("fast", 3)]):
        index.note(0, offset, kind, day)  # type: ignore[arg-type]
    assert index.span(0, "fast", 1, 1) == (0, 4)
    assert index.span(0, "fast", 2) == (1, 5)
    assert index.span(0, "final", 2) is None
    assert index.span(7, "fast", 1) is None
    again = SampleIndex()
    again.load(0, index.to_dict(0))
    assert again == index
    index.forget_before(2)
    assert index.days("final") == set()
    assert index.days("fast") == {2, 3}


@given(st.lists(st.integers(1, 8), max_size=20))
def test_packing_keeps_order_and_loses_nothing(sizes: list[int]) -> None:
    from tests.unit.trainer.conftest import make_sample

    samples = [make_sample(f"r{number}", items=size) for number, size in enumerate(sizes)]
    batches = list(pack(samples, 8))
    assert [row for batch in batches for row in batch] == samples
    assert all(0 < sum(len(row.item_ids) for row in batch) <= 8 for batch in batches)
    rows = [sum(len(row.item_ids) for row in batch) for batch in batches]
    assert all(before + len(after[0].item_ids) > 8 for before, after in zip(rows, batches[1:], strict=False))


def test_a_slate_larger_than_a_batch_is_an_error(sample: Callable[..., Any]) -> None:
    with pytest.raises(ShapeError, match=r"trainer\.batch_rows"):
        list(pack([sample(items=9)], 8))


def test_the_order_of_a_day_does_not_depend_on_arrival(sample: Callable[..., Any]) -> None:
    rows = [sample(f"r{number}") for number in range(20)]
    assert shuffled(rows, 5) == shuffled(rows[::-1], 5)
    assert shuffled(rows, 5) != shuffled(rows, 6)


def test_scores_held_meet_final_labels_once(sample: Callable[..., Any]) -> None:
    held = HeldScores(24 * HOUR)
    observed, final = sample("r1"), sample("r1", "final")
    held.hold(observed, np.array([[0.9, 0.2, 0.1], [0.3, 0.2, 0.1]], np.float32), (False, True, True), ONES)
    judged = list(held.judge(final))
    assert [(part.task, part.maturity) for part in judged] == [("cart", "matured"), ("purchase", "matured")]
    assert judged[1].probabilities_N.tolist() == pytest.approx([0.1, 0.1])
    assert list(held.judge(final)) == []
    assert held.unjudged == 1


def test_scores_without_a_final_row_are_given_up(sample: Callable[..., Any]) -> None:
    held = HeldScores(2 * HOUR)
    scores = np.zeros((2, 3), np.float32)
    held.hold(sample("r1", time_ms=0), scores, (True, True, True), ONES)
    held.hold(sample("r2", time_ms=3 * HOUR), scores, (True, True, True), ONES)
    assert (len(held), held.unjudged) == (1, 1)


def test_sampled_slates_are_judged_item_by_item_by_the_chance_to_have_been_scored(sample: Callable[..., Any]) -> None:
    """Position 2 was scored without a label and gained one; position 3 gained one too but had been left out."""
    held = HeldScores(24 * HOUR)
    labels = {"click": [1, 0], "cart": [0, 0], "purchase": [0, 0]}
    observed = sample("r1", positions=[1, 2], labels=labels, negative_keep=0.25)
    weights_N = targets_from_samples([observed]).sampling_N
    assert weights_N.tolist() == [1.0, 4.0]
    held.hold(observed, np.array([[0.9, 0.2, 0.1], [0.3, 0.2, 0.4]], np.float32), (False, False, True), weights_N)
    again = HeldScores(24 * HOUR)
    again.load(held.to_arrays())
    final = sample(
        "r1", "final", items=3, positions=[1, 3, 2], negative_keep=0.25,
        labels={"click": [1, 0, 0], "cart": [0, 0, 0], "purchase": [0, 1, 1]},
    )  # fmt: skip
    (part,) = again.judge(final)
    assert part.probabilities_N.tolist() == pytest.approx([0.1, 0.4])
    assert (part.labels_N.tolist(), part.weights_N.tolist()) == ([0.0, 1.0], [1.0, 4.0])


def test_held_scores_of_a_release_without_positions_are_given_up(sample: Callable[..., Any]) -> None:
    held = HeldScores(24 * HOUR)
    held.hold(sample("r1"), np.zeros((2, 3), np.float32), (True, True, True), ONES)
    old = {name: array for name, array in held.to_arrays().items() if name not in ("places", "weights")}
    again = HeldScores(24 * HOUR)
    again.load(old)
    assert (len(again), again.unjudged) == (0, 1)


def test_corrections_are_learned_but_not_judged(sample: Callable[..., Any]) -> None:
    rows = [sample("r1", items=1), sample("r2", "corrected", items=1, maturity={"click": "closed"})]
    parts = join_judged(list(judge_now(rows, targets_from_samples(rows), np.full((2, 3), 0.5, np.float32))))
    assert {(part.task, part.maturity): len(part.labels_N) for part in parts} == {
        ("click", "observed"): 1,
        ("cart", "observed"): 1,
        ("purchase", "observed"): 1,
    }
