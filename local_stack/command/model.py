"""`springtide model`: lists the presets, and shows one's behaviour graph in words or as a picture."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from springtide.contracts.errors import ExitCode
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig
from springtide.model.graph_picture import draw_graph, product, symbol
from springtide.model.presets import PRESETS, preset
from springtide.runtime.settings import build_sections, read_profile

LIST = "List the presets: what each is made of, and where it was published."
SHOW = """Show a preset's heads and how they make up each task's probability; with --out, draw the graph as SVG."""


def add_list(verb: argparse.ArgumentParser) -> None:
    """Set what the command does."""
    verb.set_defaults(act=run_list)


def add_show(verb: argparse.ArgumentParser) -> None:
    """Add the flags."""
    verb.add_argument("preset", metavar="PRESET", help="a name that `springtide model list` gives")
    verb.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML) whose section [model] has a graph of its own"
    )
    verb.add_argument("--out", type=Path, metavar="FILE.svg", help="draw the graph into this file")
    verb.set_defaults(act=run_show)


def run_list(given: Namespace) -> int:
    """Print a row per preset."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("preset", "backbone", "graph", "what it is", "published"):
        table.add_column(column, no_wrap=column == "preset")
    for name, made in PRESETS.items():
        table.add_row(name, made.backbone, made.graph, made.summary, made.source)
    Console(highlight=False).print(table)
    return ExitCode.OK


def run_show(given: Namespace) -> int:
    """Print the heads and products of a preset, and draw them where asked.

    Raises:
        ConfigError: no preset has this name, or the settings break rules.
    """
    sizes = _sizes(given.config)
    config = preset(given.preset, sizes)
    made, graph = PRESETS[given.preset], config.behaviour_graph
    note = f"{made.summary}; backbone {made.backbone}; {made.source}"
    print(f"{given.preset}: {note}")
    for head, name in enumerate(graph.heads):
        print(f"  {symbol(head)}  {name}")
    for task in TASKS:
        print(f"  p({task}) = {product(graph, task)}{'' if task in graph.supervised else '   (no loss)'}")
    if given.out:
        given.out.write_text(draw_graph(graph, title=given.preset, note=note), encoding="utf-8")
    return ExitCode.OK


def _sizes(profile: Path | None) -> ModelConfig | None:
    if profile is None:
        return None
    made: ModelConfig = build_sections(read_profile(profile), {"model": ModelConfig})["model"]
    return made
