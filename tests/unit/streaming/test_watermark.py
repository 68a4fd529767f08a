"""Event time of a partition: never back, not fooled by a wrong clock, not stuck after a real gap."""

from hypothesis import given
from hypothesis import strategies as st

from streaming.watermark import Watermark

DAY = 86_400_000
START = 1_700_000_000_000


def admit(watermark: Watermark, *times: int, run: int = 3) -> list[bool]:
    return [watermark.admit(time, DAY, run) for time in times]


@given(st.lists(st.integers(0, 3 * DAY), min_size=1))
def test_it_never_goes_back(times: list[int]) -> None:
    watermark, seen = Watermark(), []
    for time in times:
        watermark.admit(time, DAY, 3)
        seen.append(watermark.value(1000) or 0)
    assert seen == sorted(seen)


def test_it_follows_the_newest_event_by_the_lateness() -> None:
    watermark = Watermark()
    assert watermark.value(300) is None
    assert admit(watermark, START, START + 1000, START + 500) == [True, True, True]
    assert watermark.value(300) == START + 700


def test_an_event_far_ahead_moves_nothing() -> None:
    watermark = Watermark()
    assert admit(watermark, START, START + DAY + 1, START + 5) == [True, False, True]
    assert watermark.newest_ms == START + 5


def test_outliers_between_good_events_are_never_believed() -> None:
    watermark = Watermark()
    for number in range(10):
        assert admit(watermark, START + number, START + 9 * DAY) == [True, False]
    assert watermark.newest_ms == START + 9


def test_a_real_gap_is_believed_after_a_run() -> None:
    watermark = Watermark()
    assert admit(watermark, START, *(START + 9 * DAY + number for number in range(4))) == [
        True,
        False,
        False,
        True,
        True,
    ]


def test_a_run_must_agree_with_itself() -> None:
    watermark = Watermark()
    wild = [START + factor * 10 * DAY for factor in (1, 9, 2, 8, 3, 7)]
    assert admit(watermark, START, *wild) == [True] + [False] * 6


def test_a_first_stamp_in_seconds_does_not_stop_the_stream() -> None:
    watermark = Watermark()
    assert admit(watermark, START // 1000, START, START + 1, START + 2) == [True, False, False, True]
