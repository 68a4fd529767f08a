"""What an arm's silence means: a crash heals by itself, a constructor that failed does not."""

from typing import Any

import pytest
import ray

from serving.cluster import ActorCalls, read_stats
from springtide.contracts.errors import StackError


class Call:
    """A remote method whose reference is itself."""

    def remote(self) -> "Call":
        return self


def ask(monkeypatch: pytest.MonkeyPatch, error: Exception) -> dict[str, Any]:
    def fail(_: Call) -> bytes:
        raise error

    monkeypatch.setattr(ray, "wait", lambda references, **_: (references, []))
    monkeypatch.setattr(ray, "get", fail)
    call = Call()
    return dict(read_stats({"control": ActorCalls(rank=call, load=call, stats=call)}, wait_seconds=0.1))


def test_an_arm_that_restarts_is_missing_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, ray.exceptions.ActorUnavailableError("restarting", None)) == {}


def test_an_arm_that_cannot_start_ends_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StackError, match="arm control: expected it to start"):
        ask(monkeypatch, ray.exceptions.ActorDiedError())
