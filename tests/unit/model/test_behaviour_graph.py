"""A graph is a line per head: its paths are derived, and what is wrong with it is named."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.contracts.errors import ConfigError
from springtide.model.behaviour_graph import GRAPHS, BehaviourGraph, Head
from springtide.model.config import ModelConfig
from springtide.model.presets import preset

ESM2_HAPPENS = {
    "click": (("+click",),),
    "cart": (("+click", "+cart | click"),),
    "purchase": (
        ("+click", "-cart | click", "+purchase | click, no cart"),
        ("+click", "+cart | click", "+purchase | cart"),
    ),
}
ESM2_FAILS = {
    "click": (("-click",),),
    "cart": (("-click",), ("+click", "-cart | click")),
    "purchase": (
        ("-click",),
        ("+click", "-cart | click", "-purchase | click, no cart"),
        ("+click", "+cart | click", "-purchase | cart"),
    ),
}
"""Written out by hand, in the order that results depend on bit for bit."""


def test_the_paths_of_esm2_are_those_written_by_hand() -> None:
    graph = GRAPHS["esm2"]
    assert graph.happens == ESM2_HAPPENS
    assert graph.fails == ESM2_FAILS


def test_the_paths_of_esmm_and_of_independent_heads_are_those_written_by_hand() -> None:
    assert GRAPHS["esmm"].happens["purchase"] == (("+click", "+purchase | click"),)
    assert GRAPHS["esmm"].fails["purchase"] == (("-click",), ("+click", "-purchase | click"))
    assert GRAPHS["independent"].happens["cart"] == (("+cart",),)
    assert GRAPHS["independent"].fails["cart"] == (("-cart",),)


def test_heads_without_parents_come_first_and_each_after_its_parents() -> None:
    graph = BehaviourGraph(lines=("purchase | click, no cart", "purchase|cart", "cart  |click", "click"))
    assert graph.heads == ("click", "cart | click", "purchase | click, no cart", "purchase | cart")
    assert graph.first_heads == 1
    assert graph.parent_heads(2) == (0, 1)
    assert [graph.depth(head) for head in range(4)] == [0, 1, 2, 2]


def test_a_line_is_read_whatever_its_spaces() -> None:
    assert Head.parse(" purchase|  click ,no   cart ").name == "purchase | click, no cart"


FUNNEL = ("click", "cart | click", "purchase | cart")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heads": ("click", "cart | clik", "purchase | cart")}, r"'cart \| clik': .*got 'clik'"),
        ({"heads": ("click | purchase", *FUNNEL[1:])}, "the cycle click -> cart -> purchase -> click"),
        ({"heads": ("click | click", *FUNNEL[1:])}, "the cycle click -> click"),
        ({"heads": FUNNEL[:2]}, "got none for 'purchase'"),
        ({"heads": (*FUNNEL, "cart|click")}, r"'cart \| click': .*got it twice"),
        ({"heads": (*FUNNEL[:2], "purchase | click, no click")}, "expected each parent once"),
        ({"heads": (*FUNNEL[:2], "purchase | cart, no click")}, "exclude each other; mend them"),
        ({"heads": (*FUNNEL, "purchase | click")}, r"'purchase \| cart': .*'purchase \| click' to exclude each other"),
        ({"heads": (*FUNNEL, "favourite | click")}, r"'favourite \| click': .*supervised task that depends on it"),
        ({"heads": (*FUNNEL[:2], "purchase | click", " | click")}, "got no behaviour"),
        ({"supervised": ("click", "refund")}, "got .*'refund'"),
        ({"supervised": ()}, "one or more supervised tasks"),
        ({"supervised": ("click", "cart")}, r"'purchase \| cart': .*supervised task that depends on it"),
    ],
)
def test_what_is_wrong_is_named_with_head_and_preset(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"preset mmoe-esm2: model.*{said}"):
        preset("mmoe-esm2", ModelConfig(**change))


def test_a_preset_takes_a_graph_of_its_own() -> None:
    config = preset("mmoe-esmm", ModelConfig(heads=FUNNEL))
    assert config.behaviour_graph.heads == FUNNEL
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_a_manifest_from_before_graphs_were_data_still_loads() -> None:
    values = ModelConfig().to_dict()
    del values["heads"], values["supervised"]
    assert ModelConfig.from_dict(values) == ModelConfig()


def test_a_behaviour_may_share_another_s_probability() -> None:
    graph = GRAPHS["one-score"]
    assert list(graph.problems("here")) == []
    assert graph.heads == ("click",)
    assert graph.happens["purchase"] == graph.happens["click"] == (("+click",),)


@pytest.mark.parametrize("line", ["purchase = wish", "click = cart", "purchase = purchase"])
def test_a_shared_probability_needs_a_head(line: str) -> None:
    (found, *_) = BehaviourGraph(lines=("click", "cart", line)).problems("here")
    assert found == f"here: '{line}': expected one without a head and one with; mend the line"
