"""What the publisher does when the guard says no; the model is fake_model.py, all else is real."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from springtide.contracts.bundle import ModelUpdate
from tests.builders.one_process import TRAINER, Log, Trainer
from tests.builders.sample_world import START_MS, World

HOUR_MS = 3_600_000
CONFIG = replace(TRAINER, guard_rows=0, delta_every=timedelta(hours=3), guard_patience=timedelta(hours=3))
GOOD_HOURS = 12
PATIENCE_HOURS = 24 + 6 + 3
"""The closed window can have seen what came, and the patience on top."""


def hours(update: ModelUpdate) -> float:
    return (update.newest_event_ms - START_MS) / HOUR_MS


def test_what_lasts_longer_than_the_patience_is_taken_for_the_world(tmp_path: Path) -> None:
    bad = frozenset(START_MS // HOUR_MS + hour for hour in range(GOOD_HOURS, 99))
    log = Log.of(World(slates_per_day=48).rows(0, 3))
    run = Trainer(tmp_path, log, CONFIG, each=4, real_model=False, harmful_hours=bad)
    assert run.live()
    last_good = max(hours(update) for update in log.updates if not update.refused and hours(update) < GOOD_HOURS)
    believed = next(update for update in log.updates if not update.refused and hours(update) > GOOD_HOURS)
    refused = [update for update in log.updates[: log.updates.index(believed)] if update.refused]
    assert {update.refused for update in refused} == {"click: expected better"}
    assert max(map(hours, refused)) <= last_good + PATIENCE_HOURS < hours(believed)
    learned = [update.samples_learned for update in refused]
    assert len(learned) > 5
    assert max(learned) - min(learned) < 150, "what each had learned was unlearned"


def test_a_day_of_another_world_is_refused_before_it_is_learned_and_a_second_one_is_believed(tmp_path: Path) -> None:
    log = Log.of(World(slates_per_day=48).rows(0, 5))
    config = replace(CONFIG, chains=("daily",), guard_labels=30)
    run = Trainer(tmp_path, log, config, each=40, real_model=False)
    assert run.live()
    told = [(update.version, bool(update.refused)) for update in log.updates]
    assert told[:3] == [("daily-1.0", False), ("daily-2.0", True), ("daily-2.0", False)]
    first, refused, second = log.updates[:3]
    assert "calibration" in refused.refused
    assert refused.samples_learned == first.samples_learned
    assert second.samples_learned == 2 * first.samples_learned
    assert second.newest_event_ms > START_MS + 48 * HOUR_MS
