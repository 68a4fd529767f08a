"""A commit that stands still is found; one that only never catches up is not."""

from faust.types import TP

from streaming.shell.commit_watch import CommitWatch

FIRST, SECOND = TP("events", 0), TP("events", 1)


def test_commits_that_go_on_behind_a_steady_stream_are_not_stuck() -> None:
    watch = CommitWatch(90.0)
    for second in range(0, 1000, 5):
        assert watch.stuck({FIRST: 100 * second + 50}, {FIRST: 100 * second}, float(second)) == []


def test_a_partition_that_stands_still_with_work_to_commit_is_stuck() -> None:
    watch = CommitWatch(90.0)
    released = {FIRST: 10, SECOND: 7}
    assert watch.stuck(released, {SECOND: 7}, 0.0) == []  # nothing of the first was ever committed
    assert watch.stuck(released, {SECOND: 7}, 90.0) == []
    assert watch.stuck(released, {SECOND: 7}, 90.5) == [FIRST]
    assert watch.stuck(released, {FIRST: 10, SECOND: 7}, 91.0) == []


def test_a_partition_without_work_or_lost_for_a_while_begins_anew() -> None:
    watch = CommitWatch(90.0)
    assert watch.stuck({FIRST: 10}, {FIRST: 10}, 0.0) == []
    assert watch.stuck({FIRST: 11}, {FIRST: 10}, 1000.0) == []
    assert watch.stuck({}, {}, 1050.0) == []  # another worker's
    assert watch.stuck({FIRST: 11}, {FIRST: 10}, 1100.0) == []
    assert watch.stuck({FIRST: 11}, {FIRST: 10}, 1191.0) == [FIRST]
