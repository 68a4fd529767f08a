"""Published systems as compositions of the same parts."""

from dataclasses import replace
from typing import Final

from springtide.contracts.errors import ConfigError
from springtide.model.config import ModelConfig

DEFAULT: Final = "mmoe-esm2"

_PARTS: Final[dict[str, tuple[str, str]]] = {
    "mmoe-esm2": ("mmoe", "esm2"),
    "mmoe-esmm": ("mmoe", "esmm"),
    "shared-bottom": ("shared-bottom", "independent"),
    "esmm": ("separate", "esmm"),
    "esm2": ("separate", "esm2"),
    "mmoe": ("mmoe", "independent"),
    "omoe": ("omoe", "independent"),
}
"""Preset to (backbone, graph)."""


def names() -> tuple[str, ...]:
    """Return every preset's name, the default first."""
    return tuple(_PARTS)


def preset(name: str = DEFAULT, sizes: ModelConfig | None = None) -> ModelConfig:
    """Return the preset's composition, with the sizes and rates of `sizes` (or the defaults).

    Raises:
        ConfigError: no preset has this name.
    """
    if name not in _PARTS:
        raise ConfigError([f"trainer.preset: expected one of {', '.join(_PARTS)}, got {name!r}; choose one"])
    backbone, graph = _PARTS[name]
    return replace(sizes or ModelConfig(), backbone=backbone, graph=graph)
