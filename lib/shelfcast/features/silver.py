"""Silver as a run at one as-of date sees it, with a census by week."""

from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import TableMissing
from shelfcast.features.periods import Clock, Grain
from shelfcast.lake.step import Step
from shelfcast.lake.visible import visible

_SIDES = ("silver/products", "silver/promotions", "silver/stock")


@dataclass(frozen=True)
class Week:
    """What the log holds of one week and event type."""

    week_start: date
    event_type: str
    events: int
    nameless: int
    units: float


@dataclass(frozen=True)
class Silver:
    """Attributes:
    events, products, promotions, stock: what is visible; None for sides this lake does not have.
    clock: periods from the log's start to as_of.
    grains: the configured ones.
    census: one entry per week and event type.
    """

    events: DataFrame
    products: DataFrame | None
    promotions: DataFrame | None
    stock: DataFrame | None
    clock: Clock
    grains: tuple[Grain, ...]
    census: tuple[Week, ...]

    def missing(self) -> list[str]:
        sides = (self.products, self.promotions, self.stock)
        return [name for name, side in zip(_SIDES, sides, strict=True) if side is None]

    def net_units(self) -> dict[date, float]:
        """Week → pieces sold less pieces returned."""
        net: dict[date, float] = {}
        for week in self.census:
            sign = {"purchase": 1.0, "return": -1.0}.get(week.event_type, 0.0)
            net[week.week_start] = net.get(week.week_start, 0.0) + sign * week.units
        return net

    def salts(self, weeks: list[date], rows_a_file: int) -> int:
        """Files that a week needs so that its fullest one stays near ``rows_a_file`` events."""
        rows = dict.fromkeys(weeks, 0)
        for week in self.census:
            if week.week_start in rows:
                rows[week.week_start] += week.events
        return 1 + max(rows.values(), default=0) // rows_a_file


def see(step: Step) -> Silver:
    """Read what is visible at the step's as_of.

    Raises:
        TableMissing: if there is no event yet, or no period of a configured grain is complete.
    """
    as_of = step.day()
    events = visible(step.read("silver/events"), as_of)
    rows = (
        events.groupBy("week_start", "event_type")
        .agg(
            F.count("*").alias("events"),
            F.sum(F.col("user_id").isNull().cast("int")).alias("nameless"),
            F.sum(F.abs(F.coalesce("quantity", F.lit(1.0)))).alias("units"),
            F.min("event_date").alias("first"),
        )
        .orderBy("week_start", "event_type")
        .collect()
    )
    if not rows:
        raise TableMissing(
            f"table silver/events holds no event up to {as_of}: ingest a log that has some, or pass a later --as-of"
        )
    clock = Clock(step.settings.calendar.week_start, min(row["first"] for row in rows), as_of)
    grains = tuple(Grain.parse(name) for name in step.settings.demand.grains)
    for grain in grains:
        if not clock.chain(grain.days, 1):
            raise TableMissing(
                f"table silver/events: no period of grain {grain.name} lies wholly between the first event "
                f"({clock.log_start}) and as_of ({as_of}); ingest a longer log or pass a later --as-of"
            )
    census = tuple(
        Week(row["week_start"], row["event_type"], row["events"], row["nameless"], row["units"]) for row in rows
    )
    sides = [visible(step.read(name), as_of) if step.has(name) else None for name in _SIDES]
    return Silver(events, sides[0], sides[1], sides[2], clock, grains, census)
