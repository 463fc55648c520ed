"""Sections of the job: where it runs, which series it builds, how they are scored, compared and reported."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from shelfcast.settings.section import Fraction, Positive, Section


class Spark(Section):
    """How the Spark session is built when none is running (spark-submit's own settings win)."""

    master: str
    driver_memory: str
    shuffle_partitions: Positive
    event_log: str | None  # folder or URI that Spark's event log is kept in; null: none is kept
    conf: dict[str, str]


class Calendar(Section):
    """Periods are store-local; the week start and holidays are the retailer's."""

    week_start: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    country: str
    subdivision: str | None


class Censoring(Section):
    """What says that a series could not be bought: off without evidence."""

    stock: bool  # periods without stock, where the lake has silver/stock
    zero_runs: bool  # runs of zeros that the series' own rate makes improbable, ended by sales
    in_stock: Fraction  # share of a period's counted days with stock below which it counts as out of stock
    significance: float = Field(gt=0, lt=1)  # probability of a run of zeros below which it is no accident
    longest: Positive  # periods of a run beyond which it is a season or a pause


class Demand(Section):
    """Which series are built: ``<period>.<entity>`` grains."""

    grains: list[Literal["week.product", "week.product_store", "day.product", "day.product_store"]]
    products: Positive | None  # only the series of so many products, those that sold most; null: all
    active_weeks: Positive
    outliers: Literal["none", "iqr", "robust_z"]  # clips training history only, never the actuals
    outlier_width: float = Field(gt=0)
    new_series: list[Literal["planned", "listed"]]  # what makes a product that never sold a series, over all stores
    censoring: Censoring


class Windows(Section):
    """Lengths in periods of the grain."""

    context: Annotated[int, Field(ge=30)]
    horizon: Positive
    stride: Positive

    @model_validator(mode="before")
    @classmethod
    def _longest_stride(cls, given: Any) -> Any:
        """Without a stride, windows follow each other so that every target lies inside exactly one."""
        if isinstance(given, dict) and given.get("stride") is None:
            context, horizon = given.get("context"), given.get("horizon")
            if isinstance(context, int) and isinstance(horizon, int):
                return given | {"stride": context - horizon}
        return given

    @model_validator(mode="after")
    def _stride_covers(self) -> "Windows":
        if self.stride > self.context - self.horizon:
            raise ValueError(f"stride must be at most context - horizon = {self.context - self.horizon}")
        return self


class Train(Section):
    """How ranks are started."""

    launcher: Literal["inline", "horovodrun", "spark"]
    ranks: Positive
    threads: Positive
    hosts: str | None
    timeout_minutes: Positive


class Score(Section):
    """Batch scoring of every series and every user."""

    k: Positive
    batch: Positive
    on_sale_weeks: Positive


class Totals(Section):
    """Totals of series and their revenue."""

    method: Literal["bottom_up", "wls"]
    price_periods: Positive
    price_half_life: float = Field(gt=0)  # periods
    price_prior: float = Field(gt=0)  # pieces
    promotion_prior: float = Field(gt=0)  # pieces


class Evaluate(Section):
    """What published slices are compared with once the truth has arrived."""

    min_sale_weeks: Positive
    season: Positive
    baselines: list[str]
    origins: list[date]
    way: str | None  # which plans were known ahead, where several are compared: marks the models in ops/metrics


class Gates(Section):
    """How far from what came before a week or a slice may lie; null: anything goes."""

    volume_times: float | None = Field(gt=1)  # events of the newest week, users with a list: of what is usual
    nameless_apart: float | None = Field(gt=0, le=1)  # share of events without a user
    forecast_times: float | None = Field(gt=1)  # units forecast, of units sold lately
    shift: float | None = Field(gt=0)  # population stability index against the slice before
    least: Positive  # events, series or users below which nothing is said
    recent: Positive  # periods or slices that say what is usual


class Schedule(Section):
    """How often models are trained, and how much a backfill does at once."""

    train_every_weeks: Positive | None  # null: once, with the first slice
    at_once: Positive  # slices that a backfill scores side by side


class Locks(Section):
    """How runs that would write the same keep out of each other's way."""

    wait_minutes: float = Field(ge=0)
    lease_minutes: float = Field(gt=0)


class Maintenance(Section):
    """How `shelfcast maintain` keeps tables."""

    file_mb: Positive
    retain_days: Annotated[int, Field(ge=7)]  # readers and resumed runs may still need what is younger


class Report(Section):
    """The HTML page of a run."""

    series: Positive
    users: Positive
    smallest_group: Positive
