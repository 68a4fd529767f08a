"""The three things a slate is judged by, in funnel order."""

from typing import Final, Literal, get_args

Task = Literal["click", "cart", "purchase"]
"""What is predicted for one impression, each a probability over all impressions."""

TASKS: Final[tuple[Task, ...]] = get_args(Task)
