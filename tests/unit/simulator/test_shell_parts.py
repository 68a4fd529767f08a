"""Settings, the offline runner, and how far the system has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from simulator.__main__ import check_step
from simulator.following import Follower, reached_ms
from simulator.offline import play as play_offline
from simulator.replay.features import FeatureReader
from springtide.contracts.codec import encode
from springtide.contracts.errors import ConfigError
from springtide.contracts.features import FeatureRow
from springtide.contracts.reports import ProcessReport
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


class Reports:
    """A consumer that gives one record per poll, then none."""

    def __init__(self, *values: bytes) -> None:
        self.left = [SimpleNamespace(value=value) for value in values]

    def poll(self, timeout_ms: int, max_records: int = 1) -> dict[str, list[SimpleNamespace]]:
        return {"partition": [self.left.pop(0)]} if self.left else {}


def joiner_at(hours: float) -> bytes:
    samples = {'springtide_watermark_timestamp_seconds{stage="joiner",partition="0"}': hours * 3600}
    return encode(
        ProcessReport(
            process="joiner", instance="j", sequence=1, wall_time_ms=0, ready=True, status="", samples=samples
        )
    )  # fmt: skip


def test_the_story_waits_for_the_joiner() -> None:
    reports = Reports(joiner_at(1), joiner_at(2), b"no report", joiner_at(1), joiner_at(3), joiner_at(9))
    reasons: list[str] = []
    follower = Follower(reports, {"joiner": timedelta(hours=3)}, timedelta(minutes=1), 0, 10**15)
    follower.wait(6 * 3_600_000, lambda: False, reasons.append)
    assert len(reports.left) == 1  # at 3 h it goes on
    assert reasons == [f"joiner: {behind:.1f} h of event time behind" for behind in (5, 4, 4, 4)]


def test_a_stage_without_progress_is_granted_a_little() -> None:
    follower = Follower(Reports(), {"joiner": timedelta(hours=4)}, timedelta(0), 0, 10**15)
    follower.wait(5 * 3_600_000, lambda: False, lambda _: None)  # 4 h and a quarter of it
    asked = iter([False, True])
    follower.wait(7 * 3_600_000, lambda: next(asked), lambda _: None)
    with pytest.raises(StopIteration):
        next(asked)


def test_the_replay_waits_for_features() -> None:
    def row(hours: int) -> bytes:
        return encode(FeatureRow(entity="user", entity_id="u", event_time_ms=hours * 3_600_000, values={}))

    rows = Reports(row(1), row(5))
    reader = FeatureReader(rows, timedelta(hours=2), timedelta(minutes=1))
    reader.wait(6 * 3_600_000, lambda: False, lambda _: None)  # nothing was told: nothing to wait for
    reader.told(5 * 3_600_000)
    rows.left = Reports(row(2), row(4)).left
    reader.wait(6 * 3_600_000, lambda: False, lambda _: None)
    assert reader.newest.newest_ms >= 4 * 3_600_000
    assert reader.gave_up == 0


@pytest.mark.parametrize("shares", [{"quick": 0.5, "same_day": 0.3, "slow": 0.1}])
def test_shares_must_sum_to_one(shares: dict[str, float]) -> None:
    assert any("sum to 1" in problem for problem in replace(SMALL, purchase_shares=shares).problems())


def test_a_step_must_leave_time_for_late_events() -> None:
    check_step(replace(SMALL, step=timedelta(minutes=3)), LABELS)
    with pytest.raises(ConfigError, match=r"simulator\.step"):
        check_step(replace(SMALL, step=timedelta(minutes=4)), LABELS)


def test_nobody_waits_for_a_trainer_that_has_learned_the_last_slate() -> None:
    hour = 3_600_000
    follower = Follower(None, {"trainer": timedelta(hours=8)}, timedelta(minutes=1), 0, last_slate_ms=48 * hour)
    follower.take({'springtide_train_newest_event_timestamp_seconds{chain="minute"}': 47 * 3600.0})
    assert follower._behind(70 * hour) is None
    follower.take({'springtide_train_newest_event_timestamp_seconds{chain="minute"}': 0.0})
    assert Follower(None, {"trainer": timedelta(hours=8)}, timedelta(0), 0, 48 * hour)._behind(9 * hour) == "trainer"
