"""What the shell exports of a job: held against hand-made jobs; every name is in the list and in the documentation."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from prometheus_client.core import Metric

from springtide.contracts import metric_names as names
from streaming.joiner.metrics import JoinerMetrics
from streaming.shell.gauges import Gauges
from streaming.shell.transport import Transport
from tests.oracles.joiner_story import DAY, T0, Story, make_joiner, served, shown, tick
from tests.oracles.streams import HOUR, MINUTE

NOW = 1_800_000_000.0
PLACE = {"stage": "joiner", "topic": "events", "partition": "0"}
ROOT = Path(__file__).parents[3]


class Rig:
    """One job with partition 0, of which offsets up to 9 were taken in 30 s ago."""

    def __init__(self) -> None:
        self.job: Any = SimpleNamespace(
            spec=SimpleNamespace(name="joiner", topic="events"), topic_name="x-events", recovery_seconds=None,
            cores={0: SimpleNamespace(watermark_ms=5_000, newest_ms=9_000, applied=3)}, taken={0: 9}, released={0: 8},
            newest_timestamp={0: NOW - 30}, over_budget=lambda: [0],
        )  # fmt: skip
        self.consumer: Any = SimpleNamespace(highwater=lambda _: self.end, held=set[TP](), confirmed=dict[TP, int]())
        self.end: int | None = 12
        app: Any = SimpleNamespace(jobs=[self.job], consumer=self.consumer, record_times=Transport())
        self.gauges = Gauges(app)

    def read(self, name: str, now: float = NOW) -> Any:
        (family,) = [family for family in self.gauges.read(now) if family.name == name.removesuffix("_total")]
        return {tuple(sample.labels.items()): sample.value for sample in family.samples}

    def value(self, name: str, now: float = NOW) -> Any:
        return self.read(name, now).get(tuple(PLACE.items()))


def test_lag_is_counted_in_records_and_in_seconds_since_what_was_last_taken_in() -> None:
    rig = Rig()
    assert rig.value(names.CONSUMER_LAG) == 2
    assert rig.value(names.CONSUMER_LAG_SECONDS) == 30
    rig.end = None
    assert rig.read(names.CONSUMER_LAG) == {}


def test_a_record_after_a_pause_is_not_as_old_as_the_pause() -> None:
    """It came after the last look at which nothing lay ahead."""
    rig = Rig()
    rig.end = 10
    assert rig.value(names.CONSUMER_LAG_SECONDS) == 0
    assert rig.value(names.CONSUMER_LAG_SECONDS, NOW + 3600) == 0
    rig.end = 11
    assert rig.value(names.CONSUMER_LAG_SECONDS, NOW + 3601) == 1


def test_a_partition_of_which_nothing_has_come_since_a_recovery_lags_behind_what_it_had_applied() -> None:
    rig = Rig()
    rig.job.taken, rig.job.newest_timestamp = {}, {}
    assert rig.value(names.CONSUMER_LAG) == 8
    assert rig.read(names.CONSUMER_LAG_SECONDS) == {}, "nobody knows since when"
    assert rig.read(names.WATERMARK) == {(("stage", "joiner"), ("partition", "0")): 5}


def test_nothing_is_known_to_be_read_to_its_end_while_it_is_held() -> None:
    """What comes meanwhile is not fetched, so that not even its number is known."""
    rig = Rig()
    rig.end = 10
    rig.consumer.held.add(TP("x-events", 0))
    assert rig.value(names.CONSUMER_LAG_SECONDS, NOW + 60) == 90
    assert rig.read(names.PARTITIONS_HELD) == {(("stage", "joiner"),): 1}


def test_commits_behind_are_released_less_what_the_broker_has() -> None:
    rig = Rig()
    assert rig.value(names.COMMITS_BEHIND) == 8
    rig.consumer.confirmed[TP("x-events", 0)] = 6
    assert rig.value(names.COMMITS_BEHIND) == 2
    rig.consumer.confirmed[TP("x-events", 0)] = 9
    assert rig.value(names.COMMITS_BEHIND) == 0


def test_recovery_is_told_once_it_has_ended() -> None:
    rig = Rig()
    assert rig.read(names.RECOVERY_SECONDS) == {}
    rig.job.recovery_seconds = 2.5
    assert rig.read(names.RECOVERY_SECONDS) == {(("stage", "joiner"),): 2.5}


def test_transport_is_wall_time_since_the_kafka_timestamp() -> None:
    transport = Transport()
    records = [SimpleNamespace(timestamp=stamp) for stamp in (1_000, 1_000, 9_900, 10_050, -1)]
    transport.add("events", records, now_ms=10_000)
    histogram, ahead = transport.read()
    found = {(sample.name, sample.labels.get("le", "")): sample.value for sample in histogram.samples}
    assert found[names.EVENT_TRANSPORT + "_bucket", "0.02"] == 1
    assert found[names.EVENT_TRANSPORT + "_bucket", "0.1"] == 2
    assert found[names.EVENT_TRANSPORT + "_bucket", "5.0"] == 2
    assert found[names.EVENT_TRANSPORT + "_count", ""] == 4
    assert found[names.EVENT_TRANSPORT + "_sum", ""] == pytest.approx(18.1)
    assert [(sample.labels, sample.value) for sample in ahead.samples] == [({"topic": "events"}, 1)]


def oldest(story: Story) -> float:
    family: Metric
    (family,) = [one for one in JoinerMetrics().read([story.joiner]) if one.name == names.OLDEST_OPEN_SLATE]
    (sample,) = family.samples
    return float(sample.value)


def test_the_oldest_open_slate_is_as_old_as_event_time_says() -> None:
    """To within a bucket of `joiner.trigger_every`, never too young; closed and dropped slates do not count."""
    story = Story(make_joiner(trigger_records=1))
    assert oldest(story) == 0
    story.tell(served("dropped"), served("a", T0 + HOUR), shown("a", T0 + HOUR))
    bucket = 5 * MINUTE / 1000
    assert 0 <= oldest(story) - HOUR / 1000 < bucket
    story.tell(tick(T0 + HOUR + 10 * MINUTE))
    assert story.joiner.ledger.slates["dropped"] == 1
    assert 0 <= oldest(story) - 10 * MINUTE / 1000 < bucket
    story.tell(tick(T0 + 3 * HOUR))
    assert 0 <= oldest(story) - 2 * HOUR / 1000 < bucket
    restored = make_joiner(trigger_records=1)
    restored.restore(story.table)
    assert oldest(Story(restored)) == oldest(story)
    assert oldest(story.until(T0 + 3 * DAY)) == 0


def test_of_a_request_served_twice_the_older_time_counts() -> None:
    story = Story(make_joiner(trigger_records=1))
    story.tell(served("a", T0 + HOUR), served("a", T0, event_id="again"), tick(T0 + HOUR))
    assert 0 <= oldest(story) - HOUR / 1000 < 5 * MINUTE / 1000
    assert oldest(story.until(T0 + DAY)) == 0


def test_every_name_of_the_shell_and_of_the_joiner_is_listed_and_documented() -> None:
    listed = {value for name, value in vars(names).items() if name.isupper()}
    told = (ROOT / "docs" / "joiner.md").read_text()
    families = [*Rig().gauges.read(NOW), *JoinerMetrics().read([make_joiner()])]
    for family in families:
        name = family.name + "_total" * (family.type == "counter")
        assert name in listed
        assert f"`{name}" in told, name
