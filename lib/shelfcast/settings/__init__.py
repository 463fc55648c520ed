"""The configuration's shape: frozen pydantic models, unknown keys refused. conf/base.yaml holds the defaults."""

from datetime import date

from pydantic import model_validator

from shelfcast.settings.job import (
    Calendar,
    Censoring,
    Demand,
    Evaluate,
    Gates,
    Locks,
    Maintenance,
    Report,
    Schedule,
    Score,
    Spark,
    Totals,
    Train,
    Windows,
)
from shelfcast.settings.lists import Exclusion, Lists
from shelfcast.settings.logs import Bounds, Cleaning, Input, Rule, Source
from shelfcast.settings.models import Forecaster, Recommender, Rivals, Searched, Tuning
from shelfcast.settings.section import Section

__all__ = [
    "Bounds", "Calendar", "Censoring", "Cleaning", "Demand", "Evaluate", "Exclusion", "Forecaster", "Gates", "Input",
    "Lists", "Locks", "Maintenance", "Recommender", "Report", "Rivals", "Rule", "Schedule", "Score", "Searched",
    "Section", "Settings", "Source", "Spark", "Totals", "Train", "Tuning", "Windows",
]  # fmt: skip


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
    lists: Lists
    totals: Totals
    evaluate: Evaluate
    rivals: Rivals
    report: Report
    gates: Gates
    schedule: Schedule
    locks: Locks
    maintenance: Maintenance

    @model_validator(mode="after")
    def _counts_make_a_list(self) -> "Settings":
        novel, repeat, k = self.lists.novel, self.lists.repeat, self.score.k
        if max(novel or 0, repeat or 0) > k:
            raise ValueError(f"lists.novel and lists.repeat must not exceed score.k = {k}")
        if novel is not None and repeat is not None and novel + repeat != k:
            raise ValueError(f"lists.novel + lists.repeat must be score.k = {k}; leave one of them out")
        return self
