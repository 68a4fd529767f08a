"""Names of the methods and the phases of rows that each learns from; no torch, so that settings can be checked."""

from typing import Final, Literal, get_args

from springtide.contracts.samples import Phase

Method = Literal["balanced", "es-dfm", "vanilla", "wait", "fnw", "fnc", "defer"]

METHODS: Final[tuple[Method, ...]] = get_args(Method)

PHASES: Final[dict[Method, tuple[Phase, ...]]] = {
    "balanced": ("observed", "corrected"),
    "es-dfm": ("observed", "corrected"),
    "vanilla": ("observed", "corrected"),
    "wait": ("final",),
    "fnw": ("observed", "corrected"),
    "fnc": ("observed", "corrected"),
    "defer": ("observed", "corrected", "final"),
}
"""Rows of other phases must not be fed to a method."""
