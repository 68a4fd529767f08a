"""Section `[simulator]`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

Mode = Literal["live", "offline", "replay"]
PolicyName = Literal["gateway", "random", "popularity", "oracle"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatorConfig:
    """The world, the story's length and how it is told."""

    mode: Mode = "live"
    """live: tell the system; offline: no Kafka, print the expected results; replay: feed a real log (`[replay]`)."""
    policy: PolicyName = "gateway"
    """Who ranks: the gateway, or inside this process `random`, `popularity` or `oracle`."""
    scenario: Path = Path("config/scenarios/calm.toml")
    """What happens when: drift, sales, lifts, faults."""
    seed: int = 7
    """Every draw is a function of it and of what is drawn for."""

    start: str = "2026-01-05"
    """First day of the story, UTC; a Monday makes days of the week easy to read."""
    days: float = 7.0
    """Length of the story in days of event time."""
    step: timedelta = timedelta(minutes=3)
    """Event time per step; requests of one step are asked at once."""
    speed: float = 0.0
    """Event time per wall time; 0: as fast as the system follows."""

    users: int = 3000
    """Users, all told."""
    newcomers: float = 0.2
    """Share of users who first come during the story, 0 to 1."""
    items: int = 1500
    """Items in the catalogue at the start."""
    categories: int = 24
    """Categories of items."""
    births_per_day: float = 20.0
    """New items per day."""
    deaths_per_day: float = 20.0
    """Items that sell out or are withdrawn per day."""

    sessions_per_day: float = 0.47
    """Mean sessions per user and day."""
    activity_spread: float = 0.8
    """Standard deviation of the log of a user's own session rate."""
    night: float = 0.75
    """Depth of the day-night wave, 0 to 1; its top is at 20:00."""
    weekend: float = 1.15
    """Sessions on Saturday and Sunday, as a multiple of other days."""
    requests_per_session: float = 3.0
    """Mean requests of a session (geometric)."""
    think_time: timedelta = timedelta(seconds=45)
    """Median time between two requests of a session (log-normal)."""
    think_spread: float = 0.9
    """Standard deviation of the log of think time."""

    slate_size: int = 10
    """Items asked for per request."""
    whole_slate: float = 0.94
    """Probability that a user scrolls past every position; else some lower ones are not shown."""
    position_severity: float = 0.5
    """Power of the examination curve: 0 none, 1 the published curve."""

    base_click: float = -2.9
    """Log odds of a click on an examined item of mean appeal that the user has no taste for."""
    appeal_strength: float = 0.2
    """Effect of an item's Zipf popularity on the log odds of a click."""
    taste_strength: float = 1.4
    """Effect of the user's favourite category on the log odds of a click."""
    latent_strength: float = 0.4
    """Standard deviation of the remaining taste of one user for one item, in log odds."""
    country_strength: float = 1.5
    """How far countries differ in which categories are liked."""
    base_cart: float = -1.3
    """Log odds of a cart after a click."""
    base_cart_purchase: float = -0.6
    """Log odds of a purchase after a cart."""
    base_direct_purchase: float = -3.0
    """Log odds of a purchase after a click without a cart."""

    click_delay: timedelta = timedelta(seconds=10)
    """Mean time from impression to click (exponential)."""
    cart_delay: timedelta = timedelta(minutes=2)
    """Mean time from click to cart (exponential)."""
    purchase_delays: dict[str, timedelta] = field(
        default_factory=lambda: {
            "quick": timedelta(minutes=15),
            "same_day": timedelta(hours=4),
            "slow": timedelta(days=2),
        }
    )
    """Mean of each part of the mixture of times from click, or cart, to purchase (exponential)."""
    purchase_shares: dict[str, float] = field(default_factory=lambda: {"quick": 0.5, "same_day": 0.32, "slow": 0.18})
    """Share of each part."""
    delay_spread: float = 0.35
    """How far a high price and a patient user lengthen purchase delays: standard deviation of the log of the mean."""
    orphan_share: float = 0.1
    """Share of purchases that do not name their request, 0 to 1."""

    gateway: str = "http://127.0.0.1:8080"
    """Address of the gateway."""
    concurrency: int = 16
    """Requests under way at once."""
    request_timeout: timedelta = timedelta(seconds=5)
    """Wall time after which a request is asked again."""
    retry_wait: timedelta = timedelta(milliseconds=100)
    """Wall time before the first repetition; doubles up to 2 s."""
    follow: dict[str, timedelta] = field(default_factory=dict)
    """Event time that the system may lie behind, per stage (joiner, features, trainer); the story waits beyond it."""
    follow_patience: timedelta = timedelta(seconds=60)
    """Wall time that the story waits for a stage that makes no progress."""
    checkpoint_every: int = 40
    """Steps between two checkpoints."""
    settle: timedelta = timedelta(hours=1)
    """Event time that goes on after the last label window has closed."""
    exit_when_done: bool = False
    """End the process with the story; else stay up, so that its numbers can be read."""

    @property
    def start_ms(self) -> int:
        """Event time at which the story begins."""
        return int(datetime.fromisoformat(self.start).replace(tzinfo=UTC).timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        """Event time from which no session begins."""
        return self.start_ms + round(self.days * 86_400_000)

    def problems(self) -> Iterator[str]:
        """Yield one sentence per broken rule."""
        try:
            datetime.fromisoformat(self.start)
        except ValueError:
            yield f"simulator.start: expected a day such as 2026-01-05, got {self.start!r}; mend it"
        yield from self._numbers()
        yield from self._delays()
        if self.mode == "offline" and self.policy == "gateway":
            yield "simulator.policy: expected random, popularity or oracle in offline mode, got 'gateway'; choose one"

    def _numbers(self) -> Iterator[str]:
        for name in (
            "days", "users", "items", "categories", "sessions_per_day", "concurrency", "checkpoint_every", "slate_size",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                yield f"simulator.{name}: expected more than 0, got {getattr(self, name)}; raise it"
        for name in ("newcomers", "night", "whole_slate", "orphan_share"):
            if not 0 <= getattr(self, name) <= 1:
                yield f"simulator.{name}: expected 0 to 1, got {getattr(self, name)}; use a share"
        for name in ("births_per_day", "deaths_per_day", "speed", "position_severity", "delay_spread"):
            if getattr(self, name) < 0:
                yield f"simulator.{name}: expected at least 0, got {getattr(self, name)}; raise it"
        if self.requests_per_session < 1:
            yield f"simulator.requests_per_session: expected at least 1, got {self.requests_per_session}; raise it"
        if not self.gateway.startswith("http"):
            yield f"simulator.gateway: expected http://host:port, got {self.gateway!r}; write it so"

    def _delays(self) -> Iterator[str]:
        for name in ("step", "think_time", "click_delay", "cart_delay", "request_timeout", "retry_wait"):
            if getattr(self, name) <= timedelta(0):
                yield f"simulator.{name}: expected more than 0, got {getattr(self, name)}; raise it"
        if not self.purchase_delays or sorted(self.purchase_delays) != sorted(self.purchase_shares):
            yield (
                f"simulator.purchase_shares: expected one share for each of {sorted(self.purchase_delays)}, "
                f"got {sorted(self.purchase_shares)}; complete them"
            )
        elif abs(sum(self.purchase_shares.values()) - 1) > 1e-6 or min(self.purchase_shares.values()) < 0:
            yield f"simulator.purchase_shares: expected shares that sum to 1, got {self.purchase_shares}; mend them"
        unknown = set(self.follow) - {"joiner", "features", "trainer"}
        if unknown:
            yield f"simulator.follow: expected joiner, features or trainer, got {sorted(unknown)}; rename or remove it"
        if any(lag < self.step * 2 for lag in self.follow.values()):
            yield f"simulator.follow: expected lags of at least two steps ({self.step * 2}), got less; raise them"
