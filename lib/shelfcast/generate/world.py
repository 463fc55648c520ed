"""What a generated world is made of, and how strong its true effects are."""

from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

from shelfcast.errors import ConfigError

DEPARTMENTS = 12
CATEGORIES = 120
START = date(2024, 1, 1)
BOT_LIMIT = 5_000  # cleaning.bot_events_per_day as shipped
BOT_EVENTS_PER_DAY = 6_000


@dataclass(frozen=True)
class Effects:
    """The truth that models can be held against: each multiplies the expected events of a product and week.

    Attributes:
        display: of a display in all stores; in a share s of them 1 + s × (display - 1).
        mailer: of a place in the mailer.
        elasticity: (1 - depth of the discount) to the power of its negative.
        season: amplitude of the logarithm over 52 weeks; each category has a phase of its own.
        noise: standard deviation of the logarithm, from week to week.
        loyal: share of events by users who take the product again and again, every 1 to 8 weeks.
    """

    display: float = 1.8
    mailer: float = 1.4
    elasticity: float = 1.5
    season: float = 0.3
    noise: float = 0.2
    loyal: float = 0.6


@dataclass(frozen=True)
class Shares:
    """How often what happens, as shares of product-weeks (plans), of products (launches) or of events (defects)."""

    display: float = 0.05
    mailer: float = 0.05
    price_cut: float = 0.03
    stock_out: float = 0.01
    launched: float = 0.1
    duplicate: float = 0.005
    late: float = 0.01
    nameless: float = 0.01
    future: float = 0.0005
    corrupt: float = 0.0005
    no_product: float = 0.0005
    absurd_quantity: float = 0.0005
    non_positive: float = 0.0005
    unknown_type: float = 0.0005


@dataclass(frozen=True)
class World:
    """What is asked for.

    Attributes:
        events: good events, without what is planted beside them.
        weeks: from ``start`` on, which is a Monday.
        hot_product: share of all events that are of one product; 0: popularity is Zipf's alone.
        hot_user: further events by one user, spread evenly over all days.
    """

    events: int
    users: int
    products: int
    seed: int
    weeks: int = 52
    stores: int = 30
    start: date = START
    hot_product: float = 0.0
    hot_user: int = 0
    effects: Effects = field(default_factory=Effects)
    shares: Shares = field(default_factory=Shares)

    def __post_init__(self) -> None:
        for name in ("events", "users", "products", "weeks", "stores"):
            if getattr(self, name) < 1:
                raise ConfigError(f"generate: {name} is {getattr(self, name)}, it must be at least 1")
        if self.start.weekday() != 0:
            monday = self.start - timedelta(days=self.start.weekday())
            raise ConfigError(f"generate: start is {self.start}, which is no Monday; write {monday}")
        if not 0 <= self.hot_product < 1:
            raise ConfigError(f"generate: hot_product is {self.hot_product}, it must be a share from 0 to below 1")

    @property
    def bots(self) -> int:
        """Users who do thousands of things on one day: one for two million events, at least one."""
        return max(1, self.events // 2_000_000)

    @property
    def hot_user_is_bot(self) -> bool:
        """Whether each day of the hot user is above the limit; else nothing is wrong with it."""
        return self.hot_user // (7 * self.weeks) > BOT_LIMIT

    def document(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self) | {"start": self.start.isoformat()}
