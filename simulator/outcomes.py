"""What becomes of slates: which positions are shown, examined, clicked, carted and bought, and when; with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simulator.arrivals import Requests
from simulator.choice import ChoiceModel, Probabilities, examination
from simulator.config import SimulatorConfig
from simulator.delays import Delays
from simulator.effects import Effects
from simulator.items import Items
from simulator.randomness import Bools, Draw, Floats, Ints, Keys, derived, hashed, uniform
from springtide.contracts.errors import ContractError
from springtide.contracts.scoring import SlateResponse
from springtide.contracts.tasks import TASKS, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """N shown items of R requests; every array has shape (N,) unless said otherwise. Times are event times."""

    request: Ints
    """Index into the requests, ascending."""
    first: Ints
    """Shape (R + 1,): request r owns first[r] to first[r + 1]."""
    impression_ms: Ints
    """When each slate was seen, shape (R,)."""
    position: Ints
    item: Ints
    examine: Floats
    probability: dict[Task, Floats]
    """Per impression, within the task's attribution window."""
    price: Floats
    happened: dict[Task, Bools]
    time_ms: dict[Task, Ints]
    """When it happens, where it does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pairs:
    """The shown user-item pairs before anything is known of them."""

    request: Ints
    position: Ints
    user: Ints
    item: Ints
    key: Keys
    """Hash of seed, user, request and item: the key of every draw that concerns the pair."""

    def draw(self, kind: Draw) -> Floats:
        return derived(self.key, kind)


class OutcomeModel:
    """Draws outcomes; the same request and item give the same noise whatever else is in the slate."""

    def __init__(
        self,
        config: SimulatorConfig,
        windows_ms: Mapping[Task, float],
        items: Items,
        choice: ChoiceModel,
        delays: Delays,
    ) -> None:
        self._config, self._windows, self._items = config, windows_ms, items
        self._choice, self._delays = choice, delays

    def draw(self, requests: Requests, slates: Sequence[SlateResponse], effects: Effects) -> Outcomes:
        """Let users look at their slates.

        Args:
            requests: R requests.
            slates: what each was answered, in the same order.
            effects: the changes in force.

        Raises:
            ContractError: a slate holds an item that this world does not have.
        """
        pairs, first = self._pairs(requests, slates)
        bot = self._choice.is_bot(pairs.user)
        examine = np.where(bot, 1.0, examination(pairs.position, self._config.position_severity))
        chances = self._lifted(pairs, slates, effects)
        examined = pairs.draw(Draw.EXAMINE) < examine
        click = examined & (pairs.draw(Draw.CLICK) < chances.click)
        cart = click & (pairs.draw(Draw.CART) < chances.cart)
        buy = np.where(cart, chances.cart_purchase, chances.direct_purchase)
        purchase = click & (pairs.draw(Draw.PURCHASE) < buy)
        pace = self._choice.pace(pairs.user, pairs.item, effects)
        wait = 100 + 800 * uniform(self._config.seed, Draw.RENDER, requests.user, requests.key)
        impression = (requests.time_ms + wait).astype(np.int64)
        click_ms = impression[pairs.request] + self._delays.click(pairs.key)
        cart_ms = click_ms + self._delays.cart(pairs.key)
        bought_ms = np.where(cart, cart_ms, click_ms) + self._delays.purchase(pairs.key, pace)
        times = {"click": click_ms, "cart": cart_ms, "purchase": bought_ms}
        happened = {"click": click, "cart": cart, "purchase": purchase}
        return Outcomes(
            request=pairs.request, first=first, impression_ms=impression, position=pairs.position, item=pairs.item,
            examine=examine, probability=self._truth(examine, chances, pace),
            price=self._choice.prices(pairs.item, effects),
            happened={task: happened[task] for task in TASKS},
            time_ms={task: times[task].astype(np.int64) for task in TASKS},
        )  # fmt: skip

    def _pairs(self, requests: Requests, slates: Sequence[SlateResponse]) -> tuple[_Pairs, Ints]:
        """Lay out the shown items flat: mostly all, else a prefix of at least one."""
        sizes = np.array([len(slate.item_ids) for slate in slates], dtype=np.int64)
        seed = self._config.seed
        luck, part = (uniform(seed, Draw.DEPTH, requests.user, requests.key, which) for which in (0, 1))
        partial = np.minimum(sizes, 1 + (part * np.maximum(sizes - 1, 0)).astype(np.int64))
        sizes = np.where(luck < self._config.whole_slate, sizes, partial)
        first = np.concatenate([[0], np.cumsum(sizes)])
        request = np.repeat(np.arange(len(slates)), sizes)
        index = self._items.index
        try:
            shown = [index[item] for slate, size in zip(slates, sizes, strict=True) for item in slate.item_ids[:size]]
        except KeyError as error:
            raise ContractError(
                f"slate: expected items of this world's catalogue, got {error}; empty the topics or use the same seed"
            ) from error
        user, item = requests.user[request], np.array(shown, dtype=np.int64)
        pairs = _Pairs(
            request=request, position=np.arange(len(request)) - first[request] + 1, user=user, item=item,
            key=hashed(seed, Draw.PAIR, user, requests.key[request], item),
        )  # fmt: skip
        return pairs, first

    def _lifted(self, pairs: _Pairs, slates: Sequence[SlateResponse], effects: Effects) -> Probabilities:
        """Give each pair's probabilities with the lifts of its slate's arms."""
        plain = self._choice.probabilities(pairs.user, pairs.item, effects)
        if not effects.lifts:
            return plain
        lift = {
            task: np.array([effects.lift(arms_of(slate), task) for slate in slates], dtype=float)[pairs.request]
            for task in TASKS
        }
        return Probabilities(
            click=np.minimum(plain.click * lift["click"], 0.99),
            cart=np.minimum(plain.cart * lift["cart"], 0.99),
            cart_purchase=np.minimum(plain.cart_purchase * lift["purchase"], 0.99),
            direct_purchase=np.minimum(plain.direct_purchase * lift["purchase"], 0.99),
        )

    def _truth(self, examine: Floats, chances: Probabilities, pace: Floats) -> dict[Task, Floats]:
        """Give the probability of each label within its window, by the laws of the delays."""
        delays, windows = self._delays, self._windows
        click = examine * chances.click
        by_cart = chances.cart * chances.cart_purchase * delays.purchase_by(windows["purchase"], pace, by_cart=True)
        direct = (1.0 - chances.cart) * chances.direct_purchase
        direct = direct * delays.purchase_by(windows["purchase"], pace, by_cart=False)
        return {
            "click": click * delays.click_by(windows["click"]),
            "cart": click * chances.cart * delays.cart_by(windows["cart"]),
            "purchase": click * (by_cart + direct),
        }


def arms_of(slate: SlateResponse) -> list[str]:
    """List the arms that a slate belongs to, in every layer."""
    return [slate.arm, *slate.other_arms.values()]
