"""Settings, the offline runner, and how far the system has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from simulator.following import Follower, reached_ms
from simulator.offline import play as play_offline
from springtide.runtime.config import KafkaConfig
from tests.unit.simulator.conftest import LABELS, SMALL


def test_settings_tell_every_problem() -> None:
    bad = replace(
        SMALL, users=0, night=2.0, speed=-1.0, start="monday", purchase_shares={"quick": 1.0}, policy="gateway",
        follow={"moon": timedelta(hours=1), "joiner": timedelta(seconds=1)}, gateway="here",
    )  # fmt: skip
    text = "\n".join(bad.problems())
    for part in ("users", "night", "speed", "start", "purchase_shares", "policy", "moon", "two steps", "gateway"):
        assert part in text
    assert list(SMALL.problems()) == []


def test_offline_sums_by_day() -> None:
    result = play_offline(SMALL, LABELS, [])
    assert result["slates"] == sum(day["slates"] for day in result["days"])
    assert 0 < result["expected_purchases_per_slate"] < result["expected_clicks_per_slate"]


def test_a_stage_is_as_far_as_its_slowest_partition() -> None:
    samples = {
        'springtide_watermark_timestamp_seconds{stage="joiner",partition="0"}': 50.0,
        'springtide_watermark_timestamp_seconds{stage="joiner",partition="1"}': 40.0,
        'springtide_watermark_timestamp_seconds{stage="features",partition="0"}': 10.0,
        'springtide_train_newest_event_timestamp_seconds{chain="daily"}': 5.0,
    }
    assert reached_ms(samples, "joiner") == 40_000
    assert reached_ms(samples, "features") == 10_000
    assert reached_ms(samples, "trainer") is None


def test_reports_never_move_a_stage_back() -> None:
    follower = Follower(KafkaConfig(), {}, timedelta(seconds=1), 0)
    follower._reached = {"joiner": 0}
    for seconds in (50.0, 30.0):
        follower.take({'springtide_watermark_timestamp_seconds{stage="joiner",partition="0"}': seconds})
    assert follower._reached == {"joiner": 50_000}


@pytest.mark.parametrize("shares", [{"quick": 0.5, "same_day": 0.3, "slow": 0.1}])
def test_shares_must_sum_to_one(shares: dict[str, float]) -> None:
    assert any("sum to 1" in problem for problem in replace(SMALL, purchase_shares=shares).problems())
