"""From outcomes to messages: events with ids that repeat exactly, and the truth beside them."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from simulator.arrivals import Requests
from simulator.outcomes import Outcomes
from simulator.randomness import Draw, uniform
from simulator.world import World
from springtide.contracts.events import AnyEvent, Cart, Click, Impression, Purchase, Served
from springtide.contracts.scoring import SlateResponse
from springtide.contracts.truth import TruthSlate

PRODUCER: Final = "simulator-0"


def served(world: World, requests: Requests, slates: Sequence[SlateResponse]) -> list[AnyEvent]:
    """Say what was served; only where no gateway does."""
    return [
        Served(
            event_id=f"{slate.request_id}.s", user_id=world.population.user_id(user), event_time_ms=time,
            producer=PRODUCER, request_id=slate.request_id, experiment=slate.experiment, arm=slate.arm,
            other_arms=slate.other_arms, model_version=slate.model_version, policy=slate.policy,
            fallback=slate.fallback, context=world.context(user), item_ids=slate.item_ids, scores=slate.scores,
            propensities=slate.propensities,
        )
        for slate, user, time in zip(slates, requests.user.tolist(), requests.time_ms.tolist(), strict=True)
    ]  # fmt: skip


def impression(world: World, user: int, slate: SlateResponse, outcomes: Outcomes, place: int) -> Impression:
    """Say which positions of a slate were shown."""
    low, high = outcomes.first[place], outcomes.first[place + 1]
    return Impression(
        event_id=f"{slate.request_id}.i", user_id=world.population.user_id(user),
        event_time_ms=int(outcomes.impression_ms[place]), producer=PRODUCER, request_id=slate.request_id,
        positions=outcomes.position[low:high].tolist(),
    )  # fmt: skip


def labels(world: World, requests: Requests, slates: Sequence[SlateResponse], outcomes: Outcomes) -> list[AnyEvent]:
    """Say every click, cart and purchase that will happen, each at its own time."""
    made: list[AnyEvent] = []
    seed, orphan_share = world.config.seed, world.config.orphan_share
    for pair in np.flatnonzero(outcomes.happened["click"]).tolist():
        place, position = int(outcomes.request[pair]), int(outcomes.position[pair])
        user = int(requests.user[place])
        slate = slates[place]
        item_id = slate.item_ids[position - 1]
        who = world.population.user_id(user)
        at = {task: int(times[pair]) for task, times in outcomes.time_ms.items()}
        name = f"{slate.request_id}.{position}"
        made.append(
            Click(
                event_id=f"{name}.c", user_id=who, event_time_ms=at["click"], producer=PRODUCER,
                request_id=slate.request_id, item_id=item_id,
            )
        )  # fmt: skip
        if outcomes.happened["cart"][pair]:
            made.append(
                Cart(
                    event_id=f"{name}.a", user_id=who, event_time_ms=at["cart"], producer=PRODUCER,
                    request_id=slate.request_id, item_id=item_id,
                )
            )  # fmt: skip
        if outcomes.happened["purchase"][pair]:
            luck = uniform(seed, Draw.ORPHAN, user, requests.key[place], outcomes.item[pair])[0]
            made.append(
                Purchase(
                    event_id=f"{name}.p", user_id=who, event_time_ms=at["purchase"], producer=PRODUCER,
                    request_id="" if luck < orphan_share else slate.request_id, item_id=item_id,
                    price=float(outcomes.price[pair]),
                )
            )  # fmt: skip
    return made


def truth(user_id: str, slate: SlateResponse, outcomes: Outcomes, place: int) -> TruthSlate:
    """Say the real probabilities of a slate's shown positions."""
    low, high = int(outcomes.first[place]), int(outcomes.first[place + 1])
    chances = {task: values[low:high] for task, values in outcomes.probability.items()}
    return TruthSlate(
        event_time_ms=int(outcomes.impression_ms[place]), request_id=slate.request_id, user_id=user_id, arm=slate.arm,
        item_ids=slate.item_ids[: high - low], examine=outcomes.examine[low:high].tolist(),
        probabilities={task: values.tolist() for task, values in chances.items()},
        expected_clicks=float(chances["click"].sum()), expected_purchases=float(chances["purchase"].sum()),
        expected_revenue=float((chances["purchase"] * outcomes.price[low:high]).sum()),
    )  # fmt: skip
