"""Models: what they are given, how they are built and trained, searched for and compared."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from shelfcast.settings.section import Fraction, Positive, Section


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

    encoder: Literal["lstm", "attention"]  # of a user's items in order
    units: Positive  # of the encoder
    members: Positive | None  # models whose scores are averaged; null, here and below: by a rule from the log
    dim: Positive | None
    max_length: Positive | None  # items of a training piece, and of a user when scored
    dropout: Fraction | None
    item_bias: bool | None
    epochs: Positive | None
    epoch_targets: Positive | None  # of all ranks together; an epoch is a random part of more
    patience: Positive | None
    batch_targets: Positive | None  # of one rank, padding counted
    learning_rate: Annotated[float, Field(gt=0)] | None  # of a joined batch of 1,000 targets
    negatives: Positive | None
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(gt=0)
    popularity_share: Fraction
    temperature: float = Field(gt=0)
    min_item_events: Positive
    event_types: list[str]
    label_weeks: Positive
    label_windows: Positive  # at most so many earlier horizons teach the ranker
    label_stride: Positive  # weeks between the beginnings of two of them
    planned: list[Literal["display", "mailer"]]  # plans that are known ahead
    groups: list[Literal["department", "category", "product_type", "brand", "manufacturer"]]  # kinds that users like
    item_features: list[
        Literal["department", "category", "product_type", "brand", "manufacturer", "price", "description"]
    ]  # parts of an item's vector
    identity_dropout: Fraction
    neighbours: Positive  # of an item, in who takes them
    predictors: Annotated[int, Field(ge=0)]  # of an item, in a regression on all the others; 0: none is made
    peers: Annotated[int, Field(ge=0)]  # users most alike, whose purchases of late a user's ranking is told of; 0: none
    half_lives: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]  # weeks
    candidates: Positive  # of each kind: touched before, and new
    history: Positive  # a user's newest events that count


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
