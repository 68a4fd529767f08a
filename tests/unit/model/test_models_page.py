"""docs/models.md says what is so: its table, its pictures and its examples are run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from springtide.model.behaviour_graph import GRAPHS
from springtide.model.config import ModelConfig
from springtide.model.graph_picture import draw_graph
from springtide.model.presets import PRESETS, preset
from springtide.runtime.settings import build_sections

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "models.md").read_text()


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_table_has_every_preset() -> None:
    rows = [f"| `{n}` | {p.backbone} | {p.graph} | {p.summary} | {p.source} |" for n, p in PRESETS.items()]
    section = PAGE.split("## The presets")[1].split("\n## ")[0]
    assert re.findall(r"^\| `.*$", section, re.MULTILINE) == rows


@pytest.mark.parametrize(("name", "title"), [("esm2", "ESM²"), ("esmm", "ESMM"), ("independent", "Independent")])
def test_the_pictures_are_those_of_the_graphs(name: str, title: str) -> None:
    drawn = draw_graph(GRAPHS[name], title=title, note="solid: the parent happened; dashed: it did not")
    assert (DOCS / "images" / f"graph-{name}.svg").read_text() == drawn


def test_the_example_of_a_graph_of_its_own_is_taken() -> None:
    model: ModelConfig = build_sections(tomllib.loads(example("toml")), {"model": ModelConfig})["model"]
    config = preset("mmoe-esm2", model)
    assert len(config.behaviour_graph.heads) == 6
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_the_example_of_a_preset_runs_in_20_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    code = example("python")
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 20
    monkeypatch.setitem(PRESETS, "ple-wish", PRESETS["ple"])  # taken out again afterwards
    names: dict[str, Any] = {}
    exec(code, names)  # the page's own code
    assert names["config"].behaviour_graph.heads[1] == "wish | click"
    assert names["scores"].shape == (8, 3)
    assert ((names["scores"] > 0) & (names["scores"] < 1)).all()
