"""Rolling features are exact wherever the process dies: nothing is counted twice, nothing is left out."""

import os

import pytest

from tests.oracles.batch_features import check_rows
from tests.unit.streaming.crash_model.features_story import CATALOGUE, CRASHES, FeatureStory, judge_rows
from tests.unit.streaming.crash_model.process import Protocol
from tests.unit.streaming.crash_model.verdict import Verdict

SEEDS = int(os.environ.get("SPRINGTIDE_CRASH_SEEDS", "300")) // 10
PATIENCE = 100


def test_crashes_at_random_steps_change_no_count() -> None:
    """Every event comes at least twice, so that a repetition counted would show as well."""
    for seed in range(SEEDS):
        story = FeatureStory(seed)
        calm, crashed = story.rows(), story.rows(crashes=CRASHES)
        verdict = judge_rows(crashed, calm)
        assert not verdict, f"seed {seed}: {verdict}"
        if seed < 5:  # slow: counts all events anew for every row
            check_rows(story.events, CATALOGUE, crashed)


@pytest.mark.parametrize(
    "broken",
    [
        Protocol(await_rows=False),
        Protocol(order="meta, entries, deletions"),
        Protocol(await_changelog=False),
        Protocol(commit_released=False),
    ],
    ids=["rows acknowledged first", "entries before meta", "changelog acknowledged", "commit what is released"],
)
def test_each_guard_is_needed(broken: Protocol) -> None:
    total = Verdict()
    for seed in range(PATIENCE):
        story = FeatureStory(seed)
        total.add(judge_rows(story.rows(broken, CRASHES), story.rows()))
        if total:
            print(f"seed {seed}: {total}")
            return
    pytest.fail(f"nothing went wrong in {PATIENCE} seeds, so nothing shows that it is needed")
