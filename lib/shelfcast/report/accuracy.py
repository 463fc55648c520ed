"""Measured accuracy: the models of a run beside the baselines, from ops/metrics."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow.compute as pc

from shelfcast.report.reader import Reader

FORECASTER, RECOMMENDER = "forecaster", "recommender"
BOOSTED = "lightgbm"  # what the names of trained rivals begin with
SIZES = ("series", "users", "rows")  # metrics that count what was measured
_SEGMENT = re.compile(r"^\s*(?P<dimension>[^=:]+?)\s*[=:]\s*(?P<value>.+?)\s*$")

_WAY = re.compile(r"\[[a-z,]+\]$")  # see lake.ledger.way_mark


@dataclass(frozen=True)
class Score:
    """A model's figure; ``ours`` tells the models of the run from baselines."""

    model: str
    value: float
    ours: bool


@dataclass(frozen=True)
class Metrics:
    """Figures of one as_of.

    Attributes:
        values: (model, metric, segment) → value.
        best: (metric, segment) → the stored best baseline.
        ways: what was known ahead, where a backtest compared several sets of plans → figures of that way.
    """

    values: dict[tuple[str, str, str], float]
    best: dict[tuple[str, str], str]
    ways: dict[str, "Metrics"] = field(default_factory=dict)

    def value(self, model: str, metric: str, segment: str = "all") -> float | None:
        return self.values.get((model, metric, segment))

    def ranked(self, metric: str, owner: str, segment: str = "all") -> list[Score]:
        """All models with this metric, the best (lowest, or highest for recommendations) first."""
        found = [
            Score(model, value, model == owner)
            for (model, name, where), value in self.values.items()
            if (name, where) == (metric, segment)
        ]
        return sorted(found, key=lambda s: (-s.value if owner == RECOMMENDER else s.value, s.model))

    def best_baseline(self, metric: str, owner: str, segment: str = "all") -> Score | None:
        """The baseline that ops/metrics names, else the best one found."""
        named = self.best.get((metric, segment))
        baselines = [score for score in self.ranked(metric, owner, segment) if not score.ours]
        return next((score for score in baselines if score.model == named), baselines[0] if baselines else None)

    def best_of(self, metric: str, owner: str, segment: str = "all", *, boosted: bool) -> Score | None:
        """The best of the trained rivals, or of the baselines that no training went into."""
        rivals = (score for score in self.ranked(metric, owner, segment) if not score.ours)
        return next((score for score in rivals if score.model.startswith(BOOSTED) == boosted), None)

    def interval(self, prefix: str = "") -> tuple[float, float] | None:
        """95 % interval of the forecaster's WAPE less that of the best baseline, or of the one a prefix stands for."""
        low, high = (self.value(FORECASTER, f"{prefix}wape_interval_{end}") for end in ("low", "high"))
        return None if low is None or high is None else (low, high)

    def list_interval(self, metric: str, segment: str = "all") -> tuple[float, float] | None:
        """95 % interval of the recommender's metric less the best baseline's."""
        low, high = (self.value(RECOMMENDER, f"{metric}_interval_{end}", segment) for end in ("low", "high"))
        return None if low is None or high is None else (low, high)

    def value_added(self, metric: str = "wape") -> float | None:
        """Forecast value added: the share of the best baseline's error that the forecaster saves."""
        stored = self.value(FORECASTER, "fva")
        best, ours = self.best_baseline(metric, FORECASTER), self.value(FORECASTER, metric)
        if stored is not None or best is None or ours is None or best.value == 0:
            return stored
        return 1 - ours / best.value

    def table(self, metrics: Sequence[str], owner: str) -> list[tuple[Score, list[float | None]]]:
        """A row per model, ordered by the first metric that any model has; columns follow ``metrics``."""
        present = next((metric for metric in metrics if self.ranked(metric, owner)), None)
        if present is None:
            return []
        return [(s, [self.value(s.model, m) for m in metrics]) for s in self.ranked(present, owner)]

    def segments(self, metric: str, owner: str) -> dict[str, list[str]]:
        """Dimension → the segments of it that the owner was measured on, in natural order."""
        found: dict[str, list[str]] = {}
        for model, name, segment in self.values:
            matched = _SEGMENT.match(segment)
            if (model, name) == (owner, metric) and matched:
                found.setdefault(matched["dimension"], []).append(segment)
        return {dimension: sorted(segments, key=_natural) for dimension, segments in found.items()}

    def size(self, owner: str, segment: str) -> float | None:
        """How many series or users a segment holds, where evaluation stored it."""
        sizes = (self.value(owner, name, segment) for name in SIZES)
        return next((size for size in sizes if size is not None), None)

    def pit(self) -> list[float]:
        """Shares of the randomised probability integral transform in each tenth; empty if it was not measured."""
        tenths = [self.value(FORECASTER, "pit", f"tenth={i}") for i in range(1, 11)]
        known = [share for share in tenths if share is not None]
        return known if len(known) == len(tenths) else []


def label(segment: str) -> str:
    """The value of a ``dimension=value`` segment; others as they are."""
    matched = _SEGMENT.match(segment)
    return matched["value"] if matched else segment


def metrics(reader: Reader, as_of: date, versions: Sequence[str] = ()) -> Metrics:
    """The figures of ``as_of``; of several model versions, those in ``versions`` win."""
    columns = ["model", "model_version", "metric", "segment", "value", "baseline"]
    rows = reader.rows("ops/metrics", columns, pc.field("as_of") == as_of, newest=True).to_pylist()
    rows = [row for row in rows if row["value"] is not None and row["value"] == row["value"]]
    rows.sort(key=lambda row: (row["model_version"] in versions, row["model_version"]))
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        marked = _WAY.search(row["model"])
        mark = marked[0] if marked else ""
        names = {key: row[key].removesuffix(mark) if row[key] else None for key in ("model", "baseline")}
        parts.setdefault(mark.strip("[]"), []).append({**row, **names})
    ways = {way: _figures(part) for way, part in parts.items() if way}
    forecast = {way: found for way, found in ways.items() if found.value(FORECASTER, "wape") is not None}
    return replace(_figures(parts.get("", [])), ways=forecast)


def _figures(rows: Sequence[Mapping[str, Any]]) -> Metrics:
    return Metrics(
        {(row["model"], row["metric"].lower(), row["segment"]): row["value"] for row in rows},
        {
            (row["metric"].lower(), row["segment"]): row["baseline"]
            for row in rows
            if row["model"] in (FORECASTER, RECOMMENDER) and row["baseline"]
        },
    )


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text) if part]
