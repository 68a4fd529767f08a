"""What the daily chain has kept of an old day: which day, which rows, then and now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from springtide.contracts.errors import StateError
from springtide.contracts.samples import Sample
from springtide.contracts.tasks import TASKS
from springtide.model.targets import targets_from_samples
from tests.oracles.streams import LABELS
from trainer.archive import Archive
from trainer.day_rows import archived_day
from trainer.forgetting import OldDay, score_old_day, watched, watched_day
from trainer.held_scores import judge_now
from trainer.messages import CallReport
from trainer.progress import Progress


@pytest.mark.parametrize(
    ("old", "learned", "wanted", "day"),
    [(None, 1, 3, None), (None, 3, 3, 12), (None, 9, 3, 12), (None, 3, 0, None), (7, 9, 3, 7), (7, 9, 0, None)],
)
def test_the_wanted_day_is_watched_from_then_on(old: int | None, learned: int, wanted: int, day: int | None) -> None:
    known = None if old is None else OldDay(day=old, then={}, now={})
    assert watched_day(known, 12, learned, wanted) == day


def test_then_stays_and_now_follows() -> None:
    first = watched(None, 5, {"click": {"ne": 0.8}})
    assert first.then == first.now == {"click": {"ne": 0.8}}
    later = watched(first, 5, {"click": {"ne": 0.9}})
    assert (later.then, later.now) == ({"click": {"ne": 0.8}}, {"click": {"ne": 0.9}})


class Ranks:
    """One rank that scores every row alike."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.samples, self.done = archive, list[Sample](), list[str]()

    def call(self, method: str, *arguments: Any) -> list[Any]:
        self.done.append(method)
        if method == "open_archived_day":
            day, parts, share = arguments
            self.samples = archived_day(self.archive, day, parts, share).samples
        return []

    def step(self, mode: str) -> CallReport:
        assert mode == "score"
        self.done.append(mode)
        scores_NT = np.full((2 * len(self.samples), len(TASKS)), 0.25, np.float32)
        return CallReport(judged=list(judge_now(self.samples, targets_from_samples(self.samples), scores_NT)))


def stored(path: Path, sample: Callable[..., Sample], slates: int) -> Archive:
    archive = Archive(str(path))
    rows = [sample(f"r{number}", "final") for number in range(slates)]
    archive.close_day(4, "logged", [archive.write_part(4, 0, rows)])
    return archive


def test_an_old_day_is_scored_and_not_learned(tmp_path: Path, sample: Callable[..., Sample]) -> None:
    ranks = Ranks(stored(tmp_path, sample, 10))
    found = score_old_day(ranks, ranks.archive, 4, 1_000, ranks.step)
    assert ranks.done == ["open_archived_day", "order_day", "score", "close_day"]
    assert found["click"] == {
        "base_rate": 0.5, "calibration": pytest.approx(0.5),
        "ne": pytest.approx((np.log(4) + np.log(4 / 3)) / 2 / np.log(2), rel=1e-5),
    }  # fmt: skip
    assert "ne" not in found["cart"]  # no label, no entropy


def test_the_same_share_of_rows_is_taken_each_time(tmp_path: Path, sample: Callable[..., Sample]) -> None:
    archive = stored(tmp_path, sample, 400)
    parts = archive.read_day(4).parts
    some, again = (archived_day(archive, 4, parts, 0.25).samples for _ in range(2))
    assert some == again
    assert 70 <= len(some) <= 130
    more = {row.row_id for row in archived_day(archive, 4, parts, 0.5).samples}
    assert {row.row_id for row in some} < more
    ranks = Ranks(archive)
    score_old_day(ranks, archive, 4, 200, ranks.step)
    assert ranks.samples == some


def test_a_day_that_is_gone_is_an_error(tmp_path: Path) -> None:
    ranks = Ranks(Archive(str(tmp_path)))
    with pytest.raises(StateError, match="expected day.json"):
        score_old_day(ranks, ranks.archive, 4, 10, ranks.step)


def test_what_is_known_of_an_old_day_survives_and_older_checkpoints_load() -> None:
    progress = Progress.new(("daily",), LABELS, LABELS.final_age)
    progress.counts.learned_days = 4
    progress.counts.old_day = watched(None, 5, {"click": {"ne": 0.8}})
    state = msgspec.json.decode(msgspec.json.encode(progress.to_dict()))
    again = Progress.new(("daily",), LABELS, LABELS.final_age)
    again.load(state)
    assert (again.counts.learned_days, again.counts.old_day) == (4, progress.counts.old_day)
    del state["counts"]["learned_days"], state["counts"]["old_day"]
    older = Progress.new(("daily",), LABELS, LABELS.final_age)
    older.load(state)
    assert (older.counts.learned_days, older.counts.old_day) == (0, None)
