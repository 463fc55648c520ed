"""The configuration's shape: frozen pydantic models, unknown keys refused. conf/base.yaml holds the defaults."""

from datetime import date

from shelfcast.settings.job import (
    Calendar,
    Censoring,
    Demand,
    Evaluate,
    Report,
    Score,
    Spark,
    Totals,
    Train,
    Windows,
)
from shelfcast.settings.logs import Bounds, Cleaning, Input, Rule, Source
from shelfcast.settings.models import Forecaster, Recommender, Rivals, Searched, Tuning
from shelfcast.settings.section import Section

__all__ = [
    "Bounds", "Calendar", "Censoring", "Cleaning", "Demand", "Evaluate", "Forecaster", "Input", "Recommender", "Report",
    "Rivals", "Rule", "Score", "Searched", "Section", "Settings", "Source", "Spark", "Totals", "Train", "Tuning",
    "Windows",
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
    totals: Totals
    evaluate: Evaluate
    rivals: Rivals
    report: Report
