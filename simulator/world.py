"""One world: users, items, choices, delays and arrivals, all from one seed."""

from dataclasses import dataclass

from simulator.arrivals import Arrivals
from simulator.choice import ChoiceModel
from simulator.config import SimulatorConfig
from simulator.delays import Delays, make_delays
from simulator.effects import Effects
from simulator.items import Items, make_items
from simulator.outcomes import OutcomeModel
from simulator.population import COUNTRIES, DEVICES, Population, make_population
from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.events import Context
from springtide.contracts.tasks import TASKS
from springtide.runtime.config import LabelsConfig
from springtide.runtime.settings import milliseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Everything that is fixed for the whole story."""

    config: SimulatorConfig
    population: Population
    items: Items
    choice: ChoiceModel
    delays: Delays
    arrivals: Arrivals
    outcomes: OutcomeModel
    horizon_ms: int
    """Event time at which the last label window has closed and settled."""

    def context(self, user: int) -> Context:
        """Give what the shop knows of a user."""
        people = self.population
        return Context(device=DEVICES[people.device[user]], country=COUNTRIES[people.country[user]])

    def catalogue_item(self, item: int, now_ms: int, effects: Effects) -> CatalogueItem:
        """Give an item's state at a moment."""
        items = self.items
        price = items.price[item]
        if items.sale_rank[item] < effects.sale_share:
            price = round(price * effects.price_factor, 2)
        return CatalogueItem(
            item_id=items.ids[item],
            category=items.category_names[items.category[item]],
            price=float(price),
            born_ms=int(items.born_ms[item]),
            available=bool(items.born_ms[item] <= now_ms < items.dies_ms[item]),
            event_time_ms=now_ms,
        )


def make_world(config: SimulatorConfig, labels: LabelsConfig) -> World:
    """Make the world of a seed."""
    population, items, delays = make_population(config), make_items(config), make_delays(config)
    choice = ChoiceModel(config, population, items)
    windows = {task: float(milliseconds(labels.attribution[task])) for task in TASKS}
    settled = milliseconds(labels.final_age) + milliseconds(labels.allowed_lateness) + milliseconds(config.settle)
    return World(
        config=config,
        population=population,
        items=items,
        choice=choice,
        delays=delays,
        arrivals=Arrivals(config, population),
        outcomes=OutcomeModel(config, windows, items, choice, delays),
        horizon_ms=config.end_ms + settled,
    )
