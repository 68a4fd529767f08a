"""Days and publications follow event time alone."""

import pytest

from trainer.days import Cadence, complete_day, day_end_ms, day_of

DAY, HOUR = 86_400_000, 3_600_000


@pytest.mark.parametrize("time_ms", [0, 1, DAY - 1, DAY, 20_000 * DAY + 5])
def test_a_day_ends_where_the_next_begins(time_ms: int) -> None:
    assert day_of(day_end_ms(day_of(time_ms)) - 1) == day_of(time_ms)
    assert day_of(day_end_ms(day_of(time_ms))) == day_of(time_ms) + 1


def test_a_day_is_complete_when_the_slowest_partition_has_passed_it_by_the_margin() -> None:
    late = {0: 9 * DAY, 1: 5 * DAY + HOUR - 1}
    assert complete_day(late, 2, HOUR) == 3
    assert complete_day({**late, 1: 5 * DAY + HOUR}, 2, HOUR) == 4


def test_a_partition_without_final_rows_holds_every_day_open() -> None:
    assert complete_day({0: 9 * DAY}, 2, HOUR) is None
    assert complete_day({}, 0, HOUR) is None


def test_publications_are_due_by_event_time() -> None:
    cadence = Cadence(first_base_after_ms=2 * HOUR, delta_every_ms=HOUR)
    assert not cadence.due(started_ms=DAY, newest_ms=DAY + 2 * HOUR - 1, published_ms=None)
    assert cadence.due(started_ms=DAY, newest_ms=DAY + 2 * HOUR, published_ms=None)
    assert not cadence.due(started_ms=DAY, newest_ms=DAY + 3 * HOUR - 1, published_ms=DAY + 2 * HOUR)
    assert cadence.due(started_ms=DAY, newest_ms=DAY + 3 * HOUR, published_ms=DAY + 2 * HOUR)
