"""Published systems as compositions of the same parts: a backbone, a behaviour graph, and what else differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from springtide.contracts.errors import ConfigError
from springtide.contracts.tasks import TASKS
from springtide.model.config import ModelConfig

DEFAULT: Final = "mmoe-esm2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A named composition."""

    summary: str
    """What it is, in one line."""
    source: str
    """Where it was published."""
    backbone: str
    """One of config.py's BACKBONES."""
    graph: str
    """One of behaviour_graph.py's GRAPHS."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of `[model]` that make it what it is."""


PRESETS: Final[dict[str, Preset]] = {
    "mmoe-esm2": Preset(
        summary="ESM2's graph on experts with a gate per head",
        source="Ma et al. 2018 (MMoE) with Wen et al. 2020",
        backbone="mmoe",
        graph="esm2",
    ),
    "mmoe-esmm": Preset(
        summary="ESMM's graph on experts with a gate per head",
        source="Ma et al. 2018 (MMoE) with Ma et al. 2018 (ESMM)",
        backbone="mmoe",
        graph="esmm",
    ),
    "shared-bottom": Preset(
        summary="one trunk for all heads", source="Caruana 1997", backbone="shared-bottom", graph="independent"
    ),
    "esmm": Preset(
        summary="p(task) = p(click) p(task given click), all learned over every impression",
        source="Ma et al. 2018 (ESMM)",
        backbone="separate",
        graph="esmm",
    ),
    "esm2": Preset(
        summary="purchases by way of the cart and past it",
        source="Wen et al. 2020",
        backbone="separate",
        graph="esm2",
    ),
    "mmoe": Preset(
        summary="experts, mixed by a gate per head",
        source="Ma et al. 2018 (MMoE)",
        backbone="mmoe",
        graph="independent",
    ),
    "omoe": Preset(
        summary="experts, mixed by one gate for all heads",
        source="Ma et al. 2018 (MMoE)",
        backbone="omoe",
        graph="independent",
    ),
    "sparse-mmoe": Preset(
        summary="of the experts, each gate lets two through, by noisy top k with load balancing",
        source="Shazeer et al. 2017",
        backbone="mmoe",
        graph="independent",
        changes={"active_experts": 2},
    ),
    "mmoe-position": Preset(
        summary="a shallow tower on position and device beside the experts",
        source="Zhao et al. 2019",
        backbone="mmoe",
        graph="independent",
        changes={"position_tower": True, "position_by_device": True},
    ),
    "ple": Preset(
        summary="experts of each head beside shared ones, in two layers",
        source="Tang et al. 2020",
        backbone="ple",
        graph="independent",
        changes={"expert_layers": 2},
    ),
    "cross-stitch": Preset(
        summary="a trunk per head, their hidden layers combined by learned weights",
        source="Misra et al. 2016",
        backbone="cross-stitch",
        graph="independent",
    ),
    "soft-sharing": Preset(
        summary="a trunk per head, tied by the distance between their parameters",
        source="Duong et al. 2015",
        backbone="soft-sharing",
        graph="independent",
    ),
    "dbmtl": Preset(
        summary="a chain of conditionals whose towers read their parents' hidden vectors",
        source="Wang et al. 2019",
        backbone="shared-bottom",
        graph="esm2",
        changes={"parent_hiddens": True},
    ),
    "nmtr": Preset(
        summary="a trunk per behaviour; each logit adds that of the behaviour before",
        source="Gao et al. 2019",
        backbone="separate",
        graph="independent",
        changes={"cascade": True},
    ),
    "sample-weighting": Preset(
        summary="one score whose odds are what an impression is worth, by behaviour and price",
        source="Covington et al. 2016",
        backbone="shared-bottom",
        graph="one-score",
        changes={"sample_weighting": True, "supervised": ("click",), "level_drift": dict.fromkeys(TASKS, 0.0)},
    ),
    "score-fusion": Preset(
        summary="a model per objective, whose scores an arm's formula fuses",
        source="Agarwal et al. 2014",
        backbone="own-vectors",
        graph="independent",
    ),
    "bpr": Preset(
        summary="what was chosen above what was not, pair by pair within a slate",
        source="Rendle et al. 2009",
        backbone="shared-bottom",
        graph="independent",
        changes={"slate_loss": "bpr"},
    ),
    "listwise": Preset(
        summary="a slate's items against each other at once, by softmax or ListMLE (`list_loss`)",
        source="Cao et al. 2007; Xia et al. 2008",
        backbone="shared-bottom",
        graph="independent",
        changes={"slate_loss": "listwise"},
    ),
    "dupn": Preset(
        summary="the user's behaviours through a property-gated LSTM and attention: one user vector for all tasks",
        source="Ni et al. 2018",
        backbone="separate",
        graph="independent",
        changes={"encoder": "dupn"},
    ),
    "deepmcp": Preset(
        summary="nets for matching and for correlation teach the embeddings, and are dropped when serving",
        source="Ouyang et al. 2019",
        backbone="shared-bottom",
        graph="independent",
        changes={"matching_weight": 5.0, "correlation_weight": 0.01},
    ),
}
"""By name, the default first."""


def names() -> tuple[str, ...]:
    """Return every preset's name, the default first."""
    return tuple(PRESETS)


def preset(name: str = DEFAULT, sizes: ModelConfig | None = None) -> ModelConfig:
    """Return the preset's composition, with the sizes and rates of `sizes` (or the defaults).

    Raises:
        ConfigError: no preset has this name, or it does not go with `sizes`.
    """
    if name not in PRESETS:
        raise ConfigError([f"trainer.preset: expected one of {', '.join(PRESETS)}, got {name!r}; choose one"])
    chosen = PRESETS[name]
    config = replace(sizes or ModelConfig(), backbone=chosen.backbone, graph=chosen.graph, **chosen.changes)
    if found := list(config.problems()):
        raise ConfigError([f"preset {name}: {problem}" for problem in found])
    return config
