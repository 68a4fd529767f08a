"""The daily chain's lesson of one day, live and in a backfill alike: scored as a whole before any of it is learned."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

from trainer.messages import CallReport

Step = Callable[[Literal["learn", "score"]], CallReport]
"""Steps over all rows in line on all ranks."""


class Group(Protocol):
    """The ranks."""

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every rank."""
        ...


def day_lesson(group: Group, epochs: int, step: Step) -> Iterator[CallReport]:
    """Let ranks that have opened a day learn it; yields the report of its scoring, then one per epoch of learning."""
    group.call("order_day", None)
    yield step("score")
    for epoch in range(epochs):
        group.call("order_day", epoch)
        yield step("learn")
    group.call("close_day")
