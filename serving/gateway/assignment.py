"""Who gets which arm; the share enrolled changes while traffic flows."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from serving.config import ExperimentConfig
from serving.gateway import metrics
from springtide.experiments.bucketing import BUCKETS, Experiment, Layer, Range, split


@dataclass(frozen=True, kw_only=True, slots=True)
class Assigned:
    """One user's arms."""

    experiment: str
    """Empty for users outside the experiment."""
    arm: str
    other_arms: dict[str, str]


class Assignments:
    """The main experiment and the layers beside it. `ramp` may be called from another thread than `assign`."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._default = config.default_arm
        main = _layer(config.name, config.salt, [arm.name for arm in config.arms], config.enrolled)
        others = tuple(_layer(layer.name, layer.salt, layer.arms, 1.0) for layer in config.layers)
        self._layers = (main, *others)
        for experiment, share in self.enrolled().items():
            metrics.ENROLLED.labels(experiment).set(share)

    def enrolled(self) -> dict[str, float]:
        """Give the share of users per experiment."""
        return {layer.name: layer.experiments[0].enrolled for layer in self._layers}

    def assign(self, user_id: str) -> Assigned:
        """Give a user's arms: the same on every machine until a ramp, and after it for who was enrolled before."""
        main, *others = self._layers
        found = main.assign(user_id)
        return Assigned(
            experiment=found.experiment if found else "",
            arm=found.arm if found else self._default,
            other_arms={
                assignment.experiment: assignment.arm
                for layer in others
                if (assignment := layer.assign(user_id)) is not None
            },
        )

    def ramp(self, experiment: str, enrolled: float) -> bool:
        """Change the share of users in an experiment; false: there is none of this name, or the share is none."""
        if not 0.0 <= enrolled <= 1.0 or experiment not in {layer.name for layer in self._layers}:
            return False
        self._layers = tuple(_enrol(layer, enrolled) if layer.name == experiment else layer for layer in self._layers)
        return True


def _layer(name: str, salt: str, arms: Sequence[str], enrolled: float) -> Layer:
    """Make a layer that one experiment has to itself."""
    experiment = Experiment(
        name=name,
        salt=f"{salt}:arms",
        reserved=Range(0, BUCKETS),
        enrolled=enrolled,
        arms=split([(arm, 1.0 / len(arms)) for arm in arms]),
    )
    return Layer(name=name, salt=f"{salt}:layer", experiments=(experiment,))


def _enrol(layer: Layer, enrolled: float) -> Layer:
    experiments = tuple(dataclasses.replace(experiment, enrolled=enrolled) for experiment in layer.experiments)
    return dataclasses.replace(layer, experiments=experiments)
