"""The configuration's shape: frozen pydantic models, unknown keys refused. conf/base.yaml holds the defaults."""

import zoneinfo
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator


def _time_zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise ValueError(f"{name!r} is no time zone of the IANA database; write e.g. America/New_York or UTC")
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spark(Section):
    """How the Spark session is built when none is running (spark-submit's own settings win)."""

    master: str
    driver_memory: str
    shuffle_partitions: Positive
    conf: dict[str, str]


class Calendar(Section):
    """Periods are store-local; the week start and holidays are the retailer's."""

    week_start: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    country: str
    subdivision: str | None


class Rule(Section):
    """A cleaning rule refuses a record where ``when`` (Spark SQL over canonical columns) IS TRUE."""

    refuses: str
    when: str


class Input(Section):
    """One kind of file of a source and the canonical table it fills.

    ``columns`` maps canonical columns to Spark SQL expressions over the raw ones (and ``_time_zone``, the source's).
    Every other expression, and a column that looks something up, sees canonical columns, raw ones as ``raw.x`` and
    the lookups ``products.x``, ``stores.x``, ``campaigns.x``. ``identities`` says what becomes of raw columns that
    name a person before bronze is written.
    """

    files: list[str] = []
    records_of: str | None = None  # instead of files: another input of the source, whose records fill a second table
    optional: bool = False  # no error where no file matches
    format: Literal["csv", "json", "parquet", "delta"] = "csv"
    options: dict[str, str] = {}
    fields: str | None = None  # DDL of the raw columns, where the files carry no names or types
    fills: Literal[
        "events", "products", "stores", "users", "promotions", "campaigns", "coupons",
        "redemptions", "exposures", "stock", "reviews",
    ]  # fmt: skip
    columns: dict[str, str]
    where: str | None = None  # rows of another kind in the same file; they are counted as out of scope
    identity: list[str] = []  # canonical expressions that make a record the same record; default: all columns
    sequence_by: str | None = None  # among versions of one record the highest wins
    known_from: str | None = None  # SQL date from which a plan is known; default: event or validity date
    bounds: dict[str, tuple[float | None, float | None]] = {}  # fixed, instead of cleaning.*_bounds; null: open
    rules: dict[str, Rule | None] = {}  # added to cleaning.rules; null switches a default rule off
    identities: dict[str, Literal["hash", "drop", "generalise", "keep"]] = {}  # default: hash what user_id names

    @field_validator("columns", mode="before")
    @classmethod
    def _without_nulls(cls, given: object) -> object:
        """A null takes a column away that the extended kind declares."""
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _reads_something(self) -> "Input":
        if not self.files and self.records_of is None:
            raise ValueError("say which files to read: files: [...]")
        return self


class Source(Section):
    """One raw log: where it lies and how its columns become canonical ones."""

    extends: str | None = None  # a shipped kind: the name of a file in conf/sources
    package: str | None = None  # a Python package whose folder relative file names start from
    root: str | None = None  # folder or URI that relative file names start from
    time_zone: TimeZone = "UTC"  # of stores without their own
    currency: str | None = None
    as_of: date | None = None  # the default as_of while this source is the only one
    changed_files: Literal["refuse", "replace"] = "refuse"
    inputs: dict[str, Input] = {}

    @model_validator(mode="after")
    def _records_exist(self) -> "Source":
        for name, given in self.inputs.items():
            parent = self.inputs.get(given.records_of or name)
            if parent is None or (given.records_of and parent.records_of):
                raise ValueError(f"inputs.{name}.records_of must name an input with files of its own")
        return self


class Bounds(Section):
    """Plausible ranges fitted once per category, stored and reused: median ± width × robust spread of log values."""

    columns: list[str]
    per: str
    width: float = Field(gt=0)
    min_records: Positive


class Cleaning(Section):
    """Rules and bounds that decide what goes to quarantine."""

    floor: date
    rules: dict[str, Rule]
    fixed_bounds: dict[str, tuple[float | None, float | None]]
    fitted_bounds: Bounds | None
    bot_events_per_day: Positive | None


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


class Forecaster(Section):
    """Architecture and optimisation of the demand forecaster."""

    planned: list[Literal["display", "mailer"]]  # plans that are known ahead; past ones are inputs in any case
    inputs: list[Literal["orders", "price", "averages", "recency", "spread", "median", "promotions"]]  # besides sales
    units: Positive
    layers: Positive
    dense: Positive
    embeddings: dict[str, Positive]  # 0: not used
    dropout: Fraction
    epochs: Positive
    epoch_windows: Positive  # of all ranks together; an epoch is a random part of more
    least_steps: Positive  # of a training: a log with few series makes more epochs
    batch: Positive
    learning_rate: float = Field(gt=0)
    warmup: Fraction
    clip_norm: float = Field(gt=0)
    min_sale_periods: Positive
    sparse_share: float = Field(gt=0, le=1)  # of the series with fewer than 5 periods with sales, seen in an epoch
    recency_half_life: Annotated[float, Field(gt=0)] | None  # weeks; null: what is long ago counts like today
    tweedie_power: float = Field(gt=1, lt=2)
    mean_weight: float = Field(ge=0)
    seeds: Positive

    @field_validator("embeddings", mode="before")
    @classmethod
    def _without_zeros(cls, given: object) -> object:
        return {k: v for k, v in given.items() if v != 0} if isinstance(given, dict) else given


class Searched(Section):
    """Values of one key that a search tries: listed ones, or a range, of whole numbers where both ends are."""

    choices: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False  # as many values in each decade

    @model_validator(mode="after")
    def _either(self) -> "Searched":
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("write either choices: [...], or low and high")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError("low must not exceed high")
        return self


class Tuning(Section):
    """The search for a better section ``forecaster``, and the origins it and the ablation look at."""

    origins: list[date]
    trials: Positive
    random_trials: Positive  # before the sampler learns from what was found
    space: dict[str, Searched]  # key of the section forecaster → what is tried


class Recommender(Section):
    """Architecture and optimisation of the sequence recommender and of the ranker behind it."""

    dim: Positive
    units: Positive
    max_length: Positive  # items of a training piece, and of a user when scored
    dropout: Fraction
    item_bias: bool
    epochs: Positive
    epoch_targets: Positive  # of all ranks together; an epoch is a random part of more
    patience: Positive
    batch_targets: Positive  # of one rank, padding counted
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(gt=0)
    negatives: Positive
    popularity_share: Fraction
    temperature: float = Field(gt=0)
    min_item_events: Positive
    event_types: list[str]
    label_weeks: Positive
    half_lives: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]  # weeks
    candidates: Positive  # of each kind: touched before, and new
    history: Positive  # a user's newest events that count


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


class Rivals(Section):
    """LightGBM on the forecaster's windows, trained by ``bench forecast`` to be compared with."""

    objectives: list[Literal["l1", "tweedie", "quantile"]]  # none: no boosters
    min_sale_periods: Positive  # from which a position is trained on
    rounds: Positive
    leaves: Annotated[int, Field(ge=2)]
    learning_rate: float = Field(gt=0)
    rows_in_leaf: Positive
    feature_share: float = Field(gt=0, le=1)  # of every tree
    row_share: float = Field(gt=0, le=1)
    scale_power: Fraction  # a row counts by its scale to this power; 1 is the plain error in pieces
    rows: Positive  # at most so many, by a share of the series


class Report(Section):
    """The HTML page of a run."""

    series: Positive
    users: Positive
    smallest_group: Positive


class Settings(Section):
    """The whole configuration of a lake."""

    lake: str
    as_of: date | None
    seed: int
    identity_key: str | None  # env:NAME, file:PATH, or null: a key file beside the lake made on first use
    sources: dict[str, Source]
    spark: Spark
    calendar: Calendar
    cleaning: Cleaning
    demand: Demand
    windows: Windows
    forecaster: Forecaster
    tuning: Tuning
    recommender: Recommender
    train: Train
    score: Score
    totals: Totals
    evaluate: Evaluate
    rivals: Rivals
    report: Report
