"""Topic `events`: what users and the server did. One message is one event; a slate is one message.

Keyed by `user_id` (UTF-8), so all that concerns a slate lies in one partition. `event_id` is unique per
producer: an equal id means a duplicate. Times are the producer's clock, integers in milliseconds.
"""

import msgspec

from springtide.contracts.tasks import Task


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What the shop knows about the moment of a request."""

    device: str = ""
    """Device class, such as `phone` or `desktop`."""
    country: str = ""
    """Market or segment of the user."""


class SlateFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """The raw feature values that serving used, by column; see contracts/features.py for names.

    N is the number of items of the slate; every item column has N values in slate order.
    """

    version: int
    """FEATURE_SET_VERSION of the writer."""
    feature_time_ms: int
    """Event time of the newest user feature row used, 0 when none was known."""
    user: dict[str, float] = {}
    """One value per name of USER_FEATURES that was known."""
    top_categories: list[str] = []
    """The user's most clicked categories, most first."""
    top_category_shares: list[float] = []
    """Share of the user's clicks per entry of `top_categories`, 0 to 1."""
    recent_items: list[str] = []
    """The items of the user's last behaviours (click, cart, purchase), oldest first."""
    recent_behaviours: list[str] = []
    """What was done to each of `recent_items`: click, cart or purchase, or an empty text where that is not known.

    The whole list is empty where a release wrote the features that did not tell it.
    """
    item: dict[str, list[float]] = {}
    """One column per name of ITEM_FEATURES."""
    item_category: list[str] = []
    """Category of each item."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """What every event carries."""

    event_id: str
    user_id: str
    event_time_ms: int
    producer: str
    schema_version: int = 1


class Served(Event, frozen=True, kw_only=True):
    """A slate as served, with everything that decided it. Position p is index p - 1."""

    request_id: str
    experiment: str
    arm: str
    other_arms: dict[str, str] = {}
    """Arm per experiment of the other layers, such as a standing A/A."""
    model_version: str
    """Version of the bundle that scored; empty when a fallback did."""
    policy: str
    """Ranking policy, such as `greedy` or `explore`."""
    fallback: str = ""
    """Why a fallback served, such as `timeout`; empty when the model did."""
    context: Context = Context()
    item_ids: list[str]
    scores: dict[Task, list[float]] = {}
    """Predicted probability per impression, per task."""
    fused_scores: list[float] = []
    propensities: list[float] = []
    """Probability with which the policy put this item at this position."""
    features: SlateFeatures | None = None


class Impression(Event, frozen=True, kw_only=True):
    """The positions of a slate that were really shown, 1 is the top."""

    request_id: str
    positions: list[int]


class Label(Event, frozen=True, kw_only=True):
    """What click, cart and purchase share. An empty `request_id` asks for last-touch credit."""

    request_id: str = ""
    item_id: str


class Click(Label, frozen=True, kw_only=True):
    """The user opened the item."""


class Cart(Label, frozen=True, kw_only=True):
    """The user put the item into the cart."""


class Purchase(Label, frozen=True, kw_only=True):
    """The user bought the item."""

    price: float = 0.0
    """Price of one unit, in the shop's currency."""
    quantity: int = 1


class Refund(Event, frozen=True, kw_only=True):
    """A purchase was taken back. It counts once, whichever came first, the purchase or its refund."""

    purchase_id: str
    """`event_id` of the purchase."""


class Tick(Event, frozen=True, kw_only=True):
    """Event time has passed in this partition, though nothing else may have happened. `user_id` is empty."""

    partition: int


AnyEvent = Served | Impression | Click | Cart | Purchase | Refund | Tick
