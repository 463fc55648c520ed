"""A backtest's outcome: one document with every figure of every origin and way, and their means."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich.table import Table

from shelfcast.errors import TableMissing
from shelfcast.evaluate import tables
from shelfcast.evaluate.baselines import ROUNDED
from shelfcast.evaluate.forecast_metrics import MODEL
from shelfcast.evaluate.sums import RIVAL
from shelfcast.models.boosting import COLUMNS

LIGHTGBM = COLUMNS["l1"] + ROUNDED
STATISTICAL = "statistical_"
AGAINST = {"best_baseline": "", "best_statistical": STATISTICAL, LIGHTGBM: "lightgbm_"}
"""What differences in WAPE are against → the prefix of their metrics."""
_OURS = (
    "wape", "wape_rounded", "rmse", "rmsse", "rmsse_weighted", "bias", "fva", "fva_rmse", "pinball", "series", "rows",
    "missing", "units",
)  # fmt: skip
_BASELINES = ("wape", "rmse", "rmsse", "rmsse_weighted", "bias", "pinball")
_LEVELS = tuple(f"{side}_{q}" for q in ("q10", "q50", "q90") for side in ("below", "at_most"))
_BY_SEGMENT = ("wape", "rmse", "bias", "fva", "pinball", "below_q90", "at_most_q90", "coverage_q90")
_BOOSTED = tuple(column for name, column in COLUMNS.items() if name in ("l1", "tweedie"))


@dataclass
class Origin:
    """One origin's figures by model, metric and segment; ``best`` is the strongest baseline by WAPE."""

    values: dict[tuple[str, str, str], float | None] = field(default_factory=dict)
    named: dict[tuple[str, str], str] = field(default_factory=dict)
    version: str | None = None

    def value(self, model: str | None, metric: str, segment: str = "all") -> float | None:
        return None if model is None else self.values.get((model, metric, segment))

    @property
    def best(self) -> str | None:
        return self.named.get(("wape", "all"))

    @property
    def statistical(self) -> str | None:
        """The strongest baseline that no training went into."""
        found = (name for name in self.baselines() if not name.startswith(_BOOSTED))
        return next(found, None)

    def baselines(self) -> list[str]:
        """Baselines of forecasts, the most accurate first."""
        found = {m: v for (m, metric, segment), v in self.values.items() if (metric, segment) == ("wape", "all")}
        return sorted((m for m in found if m != MODEL), key=lambda m: (found[m] is None, found[m] or 0.0))

    def segments(self, metric: str, model: str | None = MODEL) -> dict[str, float | None]:
        return {s: v for (m, name, s), v in self.values.items() if (m, name) == (model, metric) and s != "all"}

    def difference(self, prefix: str, segment: str = "all") -> list[float | None]:
        """WAPE less that of a rival, low, high."""
        parts = ("wape_difference", "wape_interval_low", "wape_interval_high")
        return [self.value(MODEL, prefix + part, segment) for part in parts]


def bench(ways: Mapping[str, Sequence[Mapping[str, Any]]], configuration: str) -> tuple[list[Table], dict[str, Any]]:
    """Sum up rolling origins.

    Args:
        ways: name of a way of knowing plans → rows of ops/metrics of all origins; the configured way first.
        configuration: hash of what decides the forecaster.

    Returns:
        tables to print, and the document: ``bench``, ``configuration``, ``ratio`` (mean WAPE of the model's median ÷
        mean WAPE of each origin's best baseline) and every figure it follows from; further ways likewise in ``ways``.

    Raises:
        TableMissing: if no origin has measured forecasts.
    """
    measured = {name: _measured(rows) for name, rows in ways.items()}
    first, *others = ways
    document = {
        "bench": "forecast", "configuration": configuration, "planned": first, **_summary(measured[first]),
        "ways": {name: _summary(measured[name]) for name in others},
    }  # fmt: skip
    shown = [table for name, origins in measured.items() for table in tables.of_way(name, origins)]
    return shown, document


def _measured(rows: Iterable[Mapping[str, Any]]) -> dict[date, Origin]:
    origins: dict[date, Origin] = defaultdict(Origin)
    for row in rows:
        origin = origins[row["as_of"]]
        origin.values[row["model"], row["metric"], row["segment"]] = row["value"]
        if row["model"] == MODEL:
            origin.version = row["model_version"]
            if row["baseline"]:
                origin.named[row["metric"], row["segment"]] = row["baseline"]
    found = {day: origin for day, origin in sorted(origins.items()) if origin.value(MODEL, "wape") is not None}
    if not found:
        raise TableMissing("ops/metrics holds no measured forecasts: the truth after the origins has not arrived")
    return found


def _summary(origins: Mapping[date, Origin]) -> dict[str, Any]:
    every = origins.values()
    ours = mean([origin.value(MODEL, "wape") for origin in every])
    theirs = {
        "best_baseline": mean([origin.value(origin.best, "wape") for origin in every]),
        "best_statistical": mean([origin.value(origin.statistical, "wape") for origin in every]),
        LIGHTGBM: mean([origin.value(LIGHTGBM, "wape") for origin in every]),
    }
    ratios = {name: ours / value if ours is not None and value else None for name, value in theirs.items()}
    names = sorted({name for origin in every for name in origin.baselines()})
    return {
        "ratio": ratios["best_baseline"],
        "ratios": ratios,
        "model_wape": ours,
        **{f"{name}_wape": value for name, value in theirs.items()},
        "mean": {metric: mean([origin.value(MODEL, metric) for origin in every]) for metric in _OURS},
        "mean_baselines": {
            name: {metric: mean([origin.value(name, metric) for origin in every]) for metric in _BASELINES}
            for name in [*names, *_quantile_rivals(every)]
        },
        "origins": {day.isoformat(): _document(origin) for day, origin in origins.items()},
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _quantile_rivals(origins: Iterable[Origin]) -> list[str]:
    found = {
        name for origin in origins for name in (RIVAL, RIVAL + ROUNDED) if origin.value(name, "pinball") is not None
    }
    return sorted(found)


def _document(origin: Origin) -> dict[str, Any]:
    pit = origin.segments("pit")
    segments = {metric: origin.segments(metric) for metric in _BY_SEGMENT}
    rivals = {name: origin.segments("wape", name) for name in dict.fromkeys((origin.statistical, LIGHTGBM)) if name}
    return {
        "model_version": origin.version,
        **{metric: origin.value(MODEL, metric) for metric in _OURS},
        "best_baseline": origin.best,
        "best_statistical": origin.statistical,
        "wape_differences": {name: _differences(origin, prefix) for name, prefix in AGAINST.items()},
        "calibration": {level: origin.value(MODEL, level) for level in (*_LEVELS, "coverage_q90")},
        "pit": [pit[f"tenth={tenth}"] for tenth in range(1, 11) if f"tenth={tenth}" in pit],
        "segments": {**segments, "wape_of_rivals": rivals},
        "baselines": {
            name: {metric: value for metric in _BASELINES if (value := origin.value(name, metric)) is not None}
            for name in [*origin.baselines(), *_quantile_rivals([origin])]
        },
    }


def _differences(origin: Origin, prefix: str) -> dict[str, Any]:
    """Segment → difference, low, high."""
    found = ("all", *origin.segments(f"{prefix}wape_difference"))
    return {part: values for part in found if (values := origin.difference(prefix, part))[0] is not None}
