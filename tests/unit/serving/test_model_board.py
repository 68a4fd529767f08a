from __future__ import annotations

from serving.load_outcome import LoadOutcome
from serving.model_board import ModelBoard
from serving.wire import ActorStats
from springtide.contracts.bundle import ModelSwap


def stats(version: str, process_id: int = 1) -> ActorStats:
    return ActorStats(
        arm="control",
        chain="minute",
        process_id=process_id,
        version=version,
        newest_event_ms=7,
        items=3,
        popular=["i1"],
        feature_time_ms=5,
        online_errors=0,
        bad_messages=0,
        features="open",
        rss_bytes=1,
        cpu_seconds=1.0,
    )


def outcome(version: str, previous: str, refused: str = "", rolled_back: str = "") -> LoadOutcome:
    return LoadOutcome(
        version=version,
        previous_version=previous,
        newest_event_ms=9,
        load_ms=2.5,
        refused=refused,
        rolled_back=rolled_back,
    )


def board() -> tuple[ModelBoard, list[ModelSwap]]:
    told: list[ModelSwap] = []
    made = ModelBoard({"control": "minute"}, report=told.append, now_ms=lambda: 100, request_time_ms=lambda: 50)
    return made, told


def test_each_change_is_told_once() -> None:
    made, told = board()
    made.heard({"control": stats("")})
    made.loaded("control", outcome("a", ""))
    made.heard({"control": stats("a")})
    made.loaded("control", outcome("b", "a"))
    made.loaded("control", outcome("b", "b"))
    made.heard({"control": stats("b")})
    assert [(swap.version, swap.previous_version, swap.refused) for swap in told] == [("a", "", ""), ("b", "a", "")]
    assert (told[1].event_time_ms, told[1].wall_time_ms, told[1].load_ms, told[1].newest_event_ms) == (50, 100, 2.5, 9)
    assert made.models()[0].version == "b"


def test_a_refusal_is_told_and_changes_nothing() -> None:
    made, told = board()
    made.loaded("control", outcome("a", ""))
    made.loaded("control", outcome("b", "a", refused="b: expected its sha256"))
    assert told[-1].refused
    assert made.models()[0].version == "a"


def test_a_step_back_is_told_until_something_newer_serves() -> None:
    made, told = board()
    made.loaded("control", outcome("a", ""))
    made.loaded("control", outcome("b", "a"))
    made.loaded("control", outcome("a", "b", rolled_back="b: expected entropy"))
    assert (told[-1].version, told[-1].rolled_back) == ("a", "b: expected entropy")
    assert made.rolled_back() == {"control": "b: expected entropy"}
    assert made.models()[0].rolled_back
    made.loaded("control", outcome("c", "a"))
    assert made.rolled_back() == {}


def test_a_restarted_actor_is_told_with_what_it_found() -> None:
    made, told = board()
    made.loaded("control", outcome("a", ""))
    made.heard({})
    assert made.models()[0].items == 0
    made.heard({"control": stats("b", process_id=2)})
    assert [swap.version for swap in told] == ["a", "b"]


def test_a_report_that_is_older_than_a_swap_does_not_undo_it() -> None:
    made, told = board()
    made.heard({"control": stats("a")})
    made.loaded("control", outcome("b", "a"))
    made.heard({"control": stats("a")})
    assert [swap.version for swap in told] == ["a", "b"]
    assert made.models()[0].version == "b"
