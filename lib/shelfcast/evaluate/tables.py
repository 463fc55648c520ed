"""A backtest as tables for people: accuracy by model and origin, our calibration, and accuracy by segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from rich.table import Table

from shelfcast.evaluate.baselines import ROUNDED
from shelfcast.evaluate.forecast_metrics import MODEL
from shelfcast.evaluate.sums import RIVAL
from shelfcast.models.boosting import COLUMNS

if TYPE_CHECKING:
    from shelfcast.evaluate.summary import Origin

_LIGHTGBM = COLUMNS["l1"] + ROUNDED


def of_way(name: str, origins: Mapping[date, Origin]) -> list[Table]:
    """The tables of one way of knowing plans."""
    return [_accuracy(name, origins), _ours(origins), _segments(list(origins.values()))]


def columns(table: Table, first: str, heads: Iterable[str]) -> Table:
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _accuracy(name: str, origins: Mapping[date, Origin]) -> Table:
    """A row per model, most accurate first by mean WAPE; a star marks each origin's best baseline."""
    title = f"Plans known ahead: {name} · WAPE of the median · RMSE · bias of the mean"
    table = columns(Table(title=title), "model", [*(day.isoformat() for day in origins), "mean"])
    every = list(origins.values())
    names = {name for origin in every for name in origin.baselines()}
    order = sorted(names, key=lambda name: mean(o.value(name, "wape") for o in every) or float("inf"))
    for model in (MODEL, *order):
        cells = [_cell([origin], model) + (" *" if model == origin.best else "") for origin in every]
        table.add_row(model, *cells, _cell(every, model), style="bold" if model == MODEL else None)
    return table


def _cell(origins: Sequence[Origin], model: str) -> str:
    wape, rmse, bias = (mean(o.value(model, metric) for o in origins) for metric in ("wape", "rmse", "bias"))
    return f"{number(wape)} · {number(rmse, '.2f')} · {number(bias, '+.2f')}"


def number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _ours(origins: Mapping[date, Origin]) -> Table:
    """Scaled errors, calibration and differences of the model."""
    table = columns(Table(), "forecaster", [*(day.isoformat() for day in origins), "mean"])
    rows: dict[str, Callable[[Origin], float | None]] = {
        "RMSSE": lambda o: o.value(MODEL, "rmsse"),
        "  best baseline's": lambda o: o.value(o.named.get(("rmsse", "all")), "rmsse"),
        "RMSSE, by volume": lambda o: o.value(MODEL, "rmsse_weighted"),
        "  best baseline's, by volume": lambda o: o.value(o.named.get(("rmsse_weighted", "all")), "rmsse_weighted"),
        "scaled pinball": lambda o: o.value(MODEL, "pinball"),
        "  LightGBM's": lambda o: _least(o.value(name, "pinball") for name in (RIVAL, RIVAL + ROUNDED)),
        "largest PIT deviation": lambda o: _furthest(o.segments("pit").values(), 0.1),
        "largest q90 deviation by decile": lambda o: _furthest(_deciles(o), 0.9),
    }
    for label, figure in rows.items():
        found = [figure(origin) for origin in origins.values()]
        if any(value is not None for value in found):
            table.add_row(label, *[number(value) for value in found], number(mean(found)))
    table.add_section()
    for label, prefix in (("best baseline", ""), ("best statistical", "statistical_"), (_LIGHTGBM, "lightgbm_")):
        if any(origin.difference(prefix)[0] is not None for origin in origins.values()):
            cells = [interval(origin.difference(prefix)) for origin in origins.values()]
            middle = mean(origin.difference(prefix)[0] for origin in origins.values())
            table.add_row(f"WAPE − {label}, 95 %", *cells, number(middle, "+.3f"))
    return table


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _furthest(values: Iterable[float | None], aim: float) -> float | None:
    return max((abs(value - aim) for value in values if value is not None), default=None)


def _deciles(origin: Origin) -> list[float | None]:
    return [v for segment, v in origin.segments("coverage_q90").items() if segment.startswith("decile=")]


def interval(values: Sequence[float | None]) -> str:
    return f"{number(values[1], '+.3f')} … {number(values[2], '+.3f')}"


def _segments(origins: Sequence[Origin]) -> Table:
    """Means over origins; the interval is the highest upper end of any origin's, against LightGBM or the best."""
    rival, prefix = (_LIGHTGBM, "lightgbm_")
    if all(origin.value(rival, "wape") is None for origin in origins):
        rival, prefix = "best baseline", ""
    heads = ["WAPE", "best statistical", rival, "better by", "95 %, at most", "P(y<q90)", "P(y≤q90)", "P(u≤.9)"]
    table = columns(Table(title="By segment, mean over origins"), "segment", heads)
    for segment in dict.fromkeys(segment for origin in origins for segment in ("all", *origin.segments("wape"))):
        ours = mean(origin.value(MODEL, "wape", segment) for origin in origins)
        theirs = mean(origin.value(rival if prefix else origin.best, "wape", segment) for origin in origins)
        better = 1 - ours / theirs if ours is not None and theirs else None
        highest = [origin.difference(prefix, segment)[2] for origin in origins]
        known = [value for value in highest if value is not None]
        covered = [
            mean(origin.value(MODEL, metric, segment) for origin in origins)
            for metric in ("below_q90", "at_most_q90", "coverage_q90")
        ]
        table.add_row(
            segment, number(ours), number(mean(o.value(o.statistical, "wape", segment) for o in origins)),
            number(theirs), number(better, "+.1%"), number(max(known, default=None), "+.3f"),
            *[number(value) for value in covered],
        )  # fmt: skip
    return table
