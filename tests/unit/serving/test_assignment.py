from __future__ import annotations

from collections import Counter

import pytest

from serving.config import ArmConfig, ExperimentConfig, LayerConfig
from serving.gateway.assignment import Assignments
from serving.ramps import Ramps
from springtide.contracts.codec import encode
from springtide.contracts.control import BrokerPause, Ramp
from springtide.contracts.errors import ContractError

USERS = [f"u{index}" for index in range(4000)]


def made(enrolled: float = 1.0) -> Assignments:
    arms = (ArmConfig(name="control"), ArmConfig(name="treatment"))
    return Assignments(ExperimentConfig(enrolled=enrolled, arms=arms))


def test_arms_and_layers_are_even_and_independent() -> None:
    assigned = [made().assign(user) for user in USERS]
    cells = Counter((found.arm, found.other_arms["a-a"]) for found in assigned)
    assert len(cells) == 4
    assert all(abs(count - 1000) < 150 for count in cells.values())
    assert {found.experiment for found in assigned} == {"demo"}


def test_who_is_not_enrolled_gets_the_default_outside_the_experiment() -> None:
    assigned = [made(0.2).assign(user) for user in USERS]
    outside = [found for found in assigned if not found.experiment]
    assert abs(len(outside) - 3200) < 150
    assert {found.arm for found in outside} == {"control"}
    assert len({found.other_arms["a-a"] for found in outside}) == 2


def test_a_ramp_adds_users_and_moves_none() -> None:
    assignments = made(0.2)
    before = {user: assignments.assign(user).arm for user in USERS if assignments.assign(user).experiment}
    assert assignments.ramp("demo", 0.6)
    after = {user: assignments.assign(user).arm for user in USERS if assignments.assign(user).experiment}
    assert before.items() <= after.items()
    assert len(after) > 2 * len(before)


def test_ramp_commands_are_obeyed_and_told() -> None:
    assignments = made(0.0)
    told: list[Ramp] = []
    ramps = Ramps(assignments, told.append)
    ramps.take(b"", encode(BrokerPause(command_id="c", issued_ms=1, seconds=1.0)))
    ramps.take(b"", encode(Ramp(command_id="c", issued_ms=1, experiment="demo", enrolled=1.0)))
    assert assignments.enrolled()["demo"] == 1.0
    assert [command.enrolled for command in told] == [1.0]


@pytest.mark.parametrize(("experiment", "enrolled"), [("none", 0.5), ("demo", 1.5), ("demo", -0.1)])
def test_a_bad_ramp_is_refused(experiment: str, enrolled: float) -> None:
    assignments = made(0.3)
    command = Ramp(command_id="c", issued_ms=1, experiment=experiment, enrolled=enrolled)
    with pytest.raises(ContractError, match="control"):
        Ramps(assignments, lambda _: None).take(b"", encode(command))
    assert assignments.enrolled()["demo"] == 0.3


def test_settings_say_what_is_wrong() -> None:
    config = ExperimentConfig(
        default_arm="none",
        enrolled=2.0,
        arms=(ArmConfig(name="a", epsilon=3.0, weights={"click": 0.0}), ArmConfig(name="a", chain="hourly")),
        layers=(LayerConfig(name="l", salt="demo-1", arms=("x",)),),
    )
    text = "\n".join(config.problems())
    for part in ("arms: expected", "default_arm", "enrolled", "epsilon", "weights", "chain", "salt", "layers.l.arms"):
        assert part in text
