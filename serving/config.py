"""Sections `[serving]` and `[experiment]`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, get_args

from serving.ranking.candidates import CandidateCounts
from springtide.contracts.tasks import TASKS

Formula = Literal["sum", "product"]
"""As in springtide.model.fusion, which a gateway must not import: it loads no model."""

RANKINGS: Final = ("model", "popularity", "random")
FUSIONS: Final = get_args(Formula)
CHAINS: Final = ("daily", "minute")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingConfig:
    """Section `[serving]`: gateway, actors and their limits."""

    port: int = 8080
    """TCP port of the gateway; 0 takes any free one."""
    ray_address: str = ""
    """Ray cluster to join; empty starts one inside this process."""
    ray_namespace: str = "springtide-serving"
    """Ray namespace of the actors."""
    object_store_bytes: int = 100_000_000
    """Shared memory of an own Ray, bytes; at least 75 MB."""
    actor_cpus: float = 0.1
    """Logical CPUs per actor: for Ray's placement alone, no limit."""
    deadline: timedelta = timedelta(milliseconds=250)
    """Wall time after which a request gets the popular items instead."""
    exposure_wait: timedelta = timedelta(milliseconds=80)
    """Wall time that an answer waits for the broker's word that its exposure is logged."""
    exposure_backlog: int = 50_000
    """Exposures kept in memory while the broker is away; more are dropped, and counted."""
    batch_window: timedelta = timedelta(milliseconds=2)
    """Wall time that the first request of a batch waits for others of its arm."""
    max_batch: int = 16
    """Requests per actor call."""
    repeat_memory: int = 4096
    """Answers remembered, so that a repeated request id gets the same."""
    candidates: CandidateCounts = CandidateCounts()
    """Candidates per request, by source."""
    mirror_refresh: timedelta = timedelta(seconds=1)
    """Wall time between two reads of item features from the online store; each reads a part of them."""
    mirror_items: int = 250
    """Items read per refresh: those shown since the last one, then the others in turn."""
    cold_epsilon: float = 0.5
    """Exploration while there is no model, so that its first samples are not all of the same items; 0 to 1."""
    max_score_shift: float = 8.0
    """A new model is refused if its mean log odds for the last real requests differ from the old one's by more."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        if not 0 <= self.port <= 65535:
            yield f"serving.port: expected 0 to 65535, got {self.port}; choose a free port"
        if self.object_store_bytes < 75_000_000:
            yield f"serving.object_store_bytes: expected at least 75000000, got {self.object_store_bytes}; raise it"
        for name in ("deadline", "exposure_wait", "mirror_refresh"):
            if getattr(self, name) <= timedelta(0):
                yield f"serving.{name}: expected more than 0, got {getattr(self, name)}; raise it"
        for name in ("max_batch", "mirror_items", "exposure_backlog", "repeat_memory"):
            if getattr(self, name) < 1:
                yield f"serving.{name}: expected at least 1, got {getattr(self, name)}; raise it"
        yield from self._ranking_problems()

    def _ranking_problems(self) -> Iterator[str]:
        if self.batch_window < timedelta(0):
            yield f"serving.batch_window: expected at least 0, got {self.batch_window}; raise it"
        if not 0.0 <= self.cold_epsilon <= 1.0:
            yield f"serving.cold_epsilon: expected 0 to 1, got {self.cold_epsilon}; use a probability"
        if self.max_score_shift <= 0.0:
            yield f"serving.max_score_shift: expected more than 0, got {self.max_score_shift}; raise it"
        yield from self.candidates.problems("serving.candidates")
        if self.candidates.total < 1:
            yield "serving.candidates: expected at least 1 candidate, got 0; raise one of the counts"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmConfig:
    """One arm of the experiment, with an actor of its own."""

    name: str
    """Name in events, metrics and the page."""
    ranking: str = "model"
    """What scores are: of the model, popularity, or random; the last two are baselines."""
    chain: str = "minute"
    """Chain of bundles that the arm serves: daily or minute."""
    fusion: Formula = "sum"
    """How task probabilities become one score: the weighted sum, or the product of powers."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"click": 1.0, "cart": 2.0, "purchase": 6.0})
    """Per task its weight in the sum, or its power in the product."""
    epsilon: float = 0.1
    """Probability that a position explores, 0 to 1."""

    @property
    def policy(self) -> str:
        """Name of the policy, as events carry it."""
        if self.ranking != "model":
            return self.ranking
        return "explore" if self.epsilon > 0.0 else "greedy"

    def problems(self, where: str) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        for name, allowed in (("ranking", RANKINGS), ("chain", CHAINS), ("fusion", FUSIONS)):
            if getattr(self, name) not in allowed:
                yield f"{where}.{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}; choose one"
        unknown = set(self.weights) - set(TASKS)
        if unknown or not any(weight > 0.0 for weight in self.weights.values()) or min(self.weights.values()) < 0.0:
            yield f"{where}.weights: expected weights >= 0, not all 0, of {TASKS}, got {dict(self.weights)}; mend them"
        if not 0.0 <= self.epsilon <= 1.0:
            yield f"{where}.epsilon: expected 0 to 1, got {self.epsilon}; use a probability"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerConfig:
    """An experiment that changes nothing that is served, such as a standing A/A; its arms are only logged."""

    name: str
    """Name in `other_arms`."""
    salt: str
    """Of its buckets; different from every other salt."""
    arms: tuple[str, ...] = ("aa-left", "aa-right")
    """Equal shares of all users."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig:
    """Section `[experiment]`: who gets which arm."""

    name: str = "demo"
    """Name in events and commands."""
    salt: str = "demo-1"
    """Of its buckets; a new salt deals users anew."""
    enrolled: float = 1.0
    """Share of users in the experiment at start, 0 to 1; `Ramp` commands change it. Arms share them equally."""
    default_arm: str = "control"
    """Arm of users outside the experiment; one of `arms`."""
    arms: tuple[ArmConfig, ...] = (ArmConfig(name="control"),)
    """The arms, in bucket order."""
    layers: tuple[LayerConfig, ...] = (LayerConfig(name="a-a", salt="a-a-1"),)
    """Further experiments, independent of this one."""

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) < len(names):
            yield f"experiment.arms: expected one or more different names, got {names}; rename them"
        if self.default_arm not in names:
            yield f"experiment.default_arm: expected one of {names}, got {self.default_arm!r}; choose one"
        if not 0.0 <= self.enrolled <= 1.0:
            yield f"experiment.enrolled: expected 0 to 1, got {self.enrolled}; use a share"
        for arm in self.arms:
            yield from arm.problems(f"experiment.arms.{arm.name}")
        salts = [self.salt, *(layer.salt for layer in self.layers)]
        if len(set(salts)) < len(salts):
            yield f"experiment.layers: expected a salt of its own per layer, got {salts}; change one"
        for layer in self.layers:
            if len(set(layer.arms)) < max(2, len(layer.arms)):
                yield f"experiment.layers.{layer.name}.arms: expected 2 or more names, got {layer.arms}; name them"
