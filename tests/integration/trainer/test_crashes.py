"""Wherever the trainer dies, every row is learned exactly once, and the end is that of a run without deaths.

Driver, rank, feed, checkpoints and publisher are the real ones; the model is fake_model.py, which is as fast as it is
particular about rows and their order.
"""

import json
import random
import zlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.one_process import TRAINER, Log, Points, Trainer
from tests.builders.sample_world import START_MS, World
from trainer.failpoints import POINTS

HOUR_MS = 3_600_000
CONFIG = replace(TRAINER, guard_rows=0, quality_window=timedelta(hours=3), checkpoint_every=timedelta(seconds=12))
ROWS = World(slates_per_day=48).rows(0, 2)
BAD_HOURS = frozenset(START_MS // HOUR_MS + hour for hour in range(12, 20))
ROLL_BACK_MS = START_MS + 30 * HOUR_MS


NAMES = (
    "base_number", "sequence", "base_version", "version", "update", "served_checkpoint", "proven", "proven_checkpoint",
)  # fmt: skip
"""What a death may change: how often a name was given before."""


def harm(newest_ms: int) -> str:
    """Find fault with what is served for some hours of event time, in which one bundle or two are due."""
    return "purchase: expected better" if ROLL_BACK_MS <= newest_ms < ROLL_BACK_MS + 7 * HOUR_MS else ""


def trainer(folder: Path) -> Trainer:
    return Trainer(folder, Log.of(ROWS), CONFIG, each=4, real_model=False, harm=harm, harmful_hours=BAD_HOURS)


def end(run: Trainer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return all tensors, and what the driver knows but for names of versions and checkpoints."""
    tensors, manifest = run.newest()
    state = json.loads(json.dumps(manifest.driver))
    for chain in state["counts"]["chains"].values():
        for name in NAMES:
            del chain[name]
    return tensors, {"driver": state, "ranks": [part.state for part in manifest.ranks]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, list[str]]:
    """A run without deaths, and the points that it passed."""
    run, points = trainer(tmp_path_factory.mktemp("whole")), Points()
    assert run.live(points)
    return run, points.passed


def check(run: Trainer, whole: Trainer) -> None:
    tensors, state = end(run)
    expected, expected_state = end(whole)
    assert state == expected_state
    assert tensors.keys() == expected.keys()
    different = [name for name, tensor in tensors.items() if not torch.equal(tensor, expected[name])]
    assert not different
    heard = [update.version for update in run.log.updates if not update.refused and not update.rolled_back]
    first = list(dict.fromkeys(heard))
    assert first == sorted(first, key=lambda version: [int(part) for part in version.split("-")[1].split(".")])


def test_the_story_passes_every_point_and_learns_every_row_it_keeps(whole: tuple[Trainer, list[str]]) -> None:
    run, passed = whole
    assert set(passed) == set(POINTS)
    assert any(update.refused == "click: expected better" for update in run.log.updates)
    backs = [update for update in run.log.updates if update.rolled_back]
    assert 1 <= len(backs) <= 2
    back = backs[-1]
    assert back.rolled_back.endswith(": purchase: expected better")
    assert (run.folder / "bundles" / back.path).exists()
    assert not (run.folder / "bundles" / "minute" / back.rolled_back.partition(":")[0]).exists()
    after = run.log.updates[run.log.updates.index(back) + 1 :]
    assert next(update for update in after if not update.refused).kind == "base"
    assert set(Counter(run.newest()[0]["minute/learned"].tolist()).values()) == {1}


def test_without_refusals_every_row_is_learned_exactly_once(tmp_path: Path) -> None:
    run = Trainer(tmp_path, Log.of(ROWS), CONFIG, each=4, real_model=False)
    for number in (17, 23, 9, 71):
        assert not run.live(Points(number))
    assert run.live()
    expected = Counter(zlib.crc32(row.row_id.encode()) for row in ROWS if row.phase != "final")
    assert Counter(run.newest()[0]["minute/learned"].tolist()) == expected
    assert set(expected.values()) == {1}


@pytest.mark.parametrize("name", POINTS)
def test_a_death_at_each_point_changes_nothing(whole: tuple[Trainer, list[str]], name: str, tmp_path: Path) -> None:
    uninterrupted, passed = whole
    hits = [number for number, point in enumerate(passed, 1) if point == name]
    run = trainer(tmp_path)
    assert not run.live(Points(hits[len(hits) // 2]))
    assert run.live()
    check(run, uninterrupted)


@pytest.mark.parametrize("seed", range(50))
def test_deaths_at_random_change_nothing(whole: tuple[Trainer, list[str]], seed: int, tmp_path: Path) -> None:
    uninterrupted, passed = whole
    draws, run = random.Random(seed), trainer(tmp_path)
    for _ in range(draws.randint(1, 2)):
        if run.live(Points(draws.randint(1, len(passed)))):
            break
    assert run.live()
    check(run, uninterrupted)
