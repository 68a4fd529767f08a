"""A method of delayed feedback is refused where the joiner would not write the rows it needs."""

from dataclasses import replace

import pytest

from tests.oracles.streams import LABELS
from trainer.config import TrainerConfig


@pytest.mark.parametrize(
    ("method", "policy", "final_features", "problem"),
    [
        ("es-dfm", "full", False, ""),
        ("fnw", "fast", False, ""),
        ("fnc", "close", False, "expected labels.policy to write ['corrected', 'observed'] rows for fnc, got 'close'"),
        ("defer", "fast", True, "expected labels.policy to write ['final'] rows for defer, got 'fast'"),
        ("defer", "full", False, "labels.final_features: expected true"),
        ("defer", "full", True, ""),
        ("wait", "close", False, ""),
        ("wait", "full", False, "labels.final_features: expected true"),
    ],
)
def test_rows_that_a_method_needs(method: str, policy: str, final_features: bool, problem: str) -> None:
    labels = replace(LABELS, policy=policy, final_features=final_features)  # type: ignore[arg-type]
    config = TrainerConfig(delayed_feedback=method)  # type: ignore[arg-type]
    found = list(config.label_problems(labels))
    assert (problem in found[0]) if problem else not found
    assert not list(replace(config, chains=("daily",)).label_problems(labels))


def test_an_unknown_method_names_those_there_are() -> None:
    (problem,) = TrainerConfig(delayed_feedback="hope").problems()  # type: ignore[arg-type]
    assert "es-dfm" in problem
    assert "'hope'" in problem


def test_delays_by_features_are_refused_where_no_method_uses_them() -> None:
    assert not list(TrainerConfig(delays_by_features=True).problems())
    (problem,) = TrainerConfig(delays_by_features=True, delayed_feedback="fnw").problems()
    assert problem.startswith("trainer.delays_by_features: expected delayed_feedback one of ('balanced', 'es-dfm', ")
    assert "got 'fnw'" in problem
