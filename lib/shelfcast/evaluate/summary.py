"""A backtest's outcome: a table for people and one document with every figure behind it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich.table import Table

from shelfcast.errors import TableMissing
from shelfcast.evaluate.forecast_metrics import MODEL

_ACCURACY = ("wape", "wape_rounded", "rmse", "bias")
_OURS = (*_ACCURACY, "fva", "fva_rmse", "pinball", "series", "rows", "missing", "units")
_LEVELS = tuple(f"{side}_{q}" for q in ("q10", "q50", "q90") for side in ("below", "at_most"))


@dataclass
class _Origin:
    """One origin's figures by model, metric and segment; ``best`` is the strongest baseline by WAPE."""

    values: dict[tuple[str, str, str], float | None] = field(default_factory=dict)
    best: str | None = None
    version: str | None = None

    def value(self, model: str, metric: str, segment: str = "all") -> float | None:
        return self.values.get((model, metric, segment))


def bench(rows: Iterable[Mapping[str, Any]]) -> tuple[Table, dict[str, Any]]:
    """Sum up rolling origins.

    Args:
        rows: ops/metrics of all origins.

    Returns:
        the table to print, and the document: ``bench``, ``ratio`` (mean WAPE of the model's median ÷ mean WAPE of
        each origin's best baseline) and per origin every figure it follows from.

    Raises:
        TableMissing: if no origin has measured forecasts.
    """
    origins = _by_origin(rows)
    measured = {day: origin for day, origin in sorted(origins.items()) if origin.value(MODEL, "wape") is not None}
    if not measured:
        raise TableMissing("ops/metrics holds no measured forecasts: the truth after the origins has not arrived")
    ours = _mean([origin.value(MODEL, "wape") for origin in measured.values()])
    theirs = _mean([origin.value(origin.best, "wape") if origin.best else None for origin in measured.values()])
    document = {
        "bench": "forecast",
        "ratio": ours / theirs if ours is not None and theirs else None,
        "model_wape": ours,
        "best_baseline_wape": theirs,
        "origins": {day.isoformat(): _document(origin) for day, origin in measured.items()},
    }
    return _table(measured, document), document


def _by_origin(rows: Iterable[Mapping[str, Any]]) -> dict[date, _Origin]:
    origins: dict[date, _Origin] = defaultdict(_Origin)
    for row in rows:
        origin = origins[row["as_of"]]
        origin.values[row["model"], row["metric"], row["segment"]] = row["value"]
        if (row["model"], row["metric"], row["segment"]) == (MODEL, "wape", "all"):
            origin.best, origin.version = row["baseline"], row["model_version"]
    return origins


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _baselines(origin: _Origin) -> list[str]:
    """Baselines of forecasts, the most accurate first."""
    found = {m: v for (m, metric, segment), v in origin.values.items() if (metric, segment) == ("wape", "all")}
    return sorted((m for m in found if m != MODEL), key=lambda m: (found[m] is None, found[m] or 0.0))


def _segments(origin: _Origin, metric: str) -> dict[str, float | None]:
    return {s: v for (m, name, s), v in origin.values.items() if (m, name) == (MODEL, metric) and s != "all"}


def _document(origin: _Origin) -> dict[str, Any]:
    pit = _segments(origin, "pit")
    return {
        "model_version": origin.version,
        **{metric: origin.value(MODEL, metric) for metric in _OURS},
        "best_baseline": origin.best,
        "wape_difference": {
            "value": origin.value(MODEL, "wape_difference"),
            "interval_95": [origin.value(MODEL, f"wape_interval_{side}") for side in ("low", "high")],
        },
        "calibration": {level: origin.value(MODEL, level) for level in _LEVELS},
        "pit": [pit[f"tenth={tenth}"] for tenth in range(1, 11) if f"tenth={tenth}" in pit],
        "segments": {metric: _segments(origin, metric) for metric in ("wape", "rmse", "fva", "at_most_q90")},
        "baselines": {
            name: {metric: origin.value(name, metric) for metric in ("wape", "rmse", "bias")}
            for name in _baselines(origin)
        },
    }


def _table(measured: Mapping[date, _Origin], document: Mapping[str, Any]) -> Table:
    """A row per model, most accurate first by mean WAPE; WAPE, RMSE and bias at each origin."""
    ratio = document["ratio"]
    caption = f"WAPE of the model ÷ best baseline: {ratio:.3f}" if ratio is not None else None
    table = Table(title="Backtest: WAPE of the median · RMSE · bias of the mean", caption=caption)
    table.add_column("model", no_wrap=True)
    for day in measured:
        table.add_column(day.isoformat(), justify="right", no_wrap=True)
    names = {name for origin in measured.values() for name in _baselines(origin)}
    order = sorted(names, key=lambda name: _mean([o.value(name, "wape") for o in measured.values()]) or float("inf"))
    for name in (MODEL, *order):
        cells = [_cell(origin, name) for origin in measured.values()]
        table.add_row(name, *cells, style="bold" if name == MODEL else None)
    table.add_section()
    table.add_row("largest PIT deviation", *[_deviation(origin) for origin in measured.values()])
    table.add_row("model − best, 95 %", *[_interval(origin) for origin in measured.values()])
    return table


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _cell(origin: _Origin, name: str) -> str:
    star = " *" if name == origin.best else ""
    wape, rmse, bias = (origin.value(name, metric) for metric in ("wape", "rmse", "bias"))
    return f"{_number(wape, '.3f')} · {_number(rmse, '.2f')} · {_number(bias, '+.2f')}{star}"


def _deviation(origin: _Origin) -> str:
    shares = [share for share in _segments(origin, "pit").values() if share is not None]
    return _number(max((abs(share - 0.1) for share in shares), default=None), ".3f")


def _interval(origin: _Origin) -> str:
    low, high = (origin.value(MODEL, f"wape_interval_{side}") for side in ("low", "high"))
    return f"{_number(low, '+.3f')} … {_number(high, '+.3f')}"
