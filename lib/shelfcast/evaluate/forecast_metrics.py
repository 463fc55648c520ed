"""Turns sums per cell into figures: accuracy, bias, calibration, and value added over the best baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from shelfcast.evaluate.baselines import ROUNDED
from shelfcast.evaluate.sums import QUANTILES, TENTHS

MODEL = "forecaster"


@dataclass(frozen=True)
class Figure:
    """One measured value; ``baseline`` names the best baseline by the same metric, where there is one."""

    model: str
    metric: str
    segment: str
    value: float | None
    baseline: str | None = None


def figures(cells: pd.DataFrame, names: Sequence[str]) -> list[Figure]:
    """All figures of one grain.

    Args:
        cells: ``sums.summed``, collected.
        names: baselines.
    """
    return [figure for segment, part in _segments(cells) for figure in _of_segment(part, segment, names)]


def best_baseline(cells: pd.DataFrame, names: Sequence[str], metric: str = "wape") -> str:
    """The baseline, rounded or not, with the lowest ``metric`` (wape, rmse, bias: nearest to 0) over all rows."""
    return _best(cells.sum(numeric_only=True), _variants(names), metric)


def _segments(cells: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    yield "all", cells.sum(numeric_only=True)
    labels = {"horizon": "horizon", "demand_class": "class", "decile": "decile", "promoted": "promoted"}
    for column, label in labels.items():
        values = sorted(cells[column].unique())
        if column == "promoted" and not any(values):
            continue
        for value in values:
            text = ("yes" if value else "no") if column == "promoted" else value
            yield f"{label}={text}", cells[cells[column] == value].sum(numeric_only=True)


def _variants(names: Sequence[str]) -> list[str]:
    return [*names, *[name + ROUNDED for name in names]]


def _ratio(above: float, below: float) -> float | None:
    return float(above / below) if below > 0 else None


def _error(sums: pd.Series, point: str, metric: str) -> float | None:
    """wape: Σ|y - f| ÷ Σy; rmse: pieces; bias: Σ(f - y) ÷ Σy."""
    if metric == "rmse":
        return float(np.sqrt(sums[f"{point}__sq"] / sums["n"]))
    return _ratio(sums[f"{point}__{'abs' if metric == 'wape' else 'err'}"], sums["y_sum"])


def _best(sums: pd.Series, variants: Sequence[str], metric: str) -> str:
    def size(name: str) -> float:
        error = _error(sums, name, metric)
        return float("inf") if error is None else abs(error)

    return min(variants, key=size)


def _of_segment(sums: pd.Series, segment: str, names: Sequence[str]) -> Iterator[Figure]:
    variants = _variants(names)
    best = {metric: _best(sums, variants, metric) for metric in ("wape", "rmse", "bias")}
    yield from _accuracy(sums, segment, best)
    yield from _calibration(sums, segment)
    for name in variants:
        for metric in best:
            yield Figure(name, metric, segment, _error(sums, name, metric))


def _accuracy(sums: pd.Series, segment: str, best: Mapping[str, str]) -> Iterator[Figure]:
    for metric, point, rival in (
        ("wape", "q50", "wape"),
        ("wape_rounded", "q50_rounded", "wape"),
        ("rmse", "mean", "rmse"),
        ("bias", "mean", "bias"),
    ):
        yield Figure(MODEL, metric, segment, _error(sums, point, rival), best[rival])
    for metric, point, rival in (("fva", "q50", "wape"), ("fva_rmse", "mean", "rmse")):
        ours, theirs = _error(sums, point, rival), _error(sums, best[rival], rival)
        added = 1 - ours / theirs if ours is not None and theirs else None
        yield Figure(MODEL, metric, segment, added, best[rival])
    for metric, column in (("rows", "n"), ("missing", "missing_sum"), ("units", "y_sum")):
        yield Figure(MODEL, metric, segment, float(sums[column]))


def _calibration(sums: pd.Series, segment: str) -> Iterator[Figure]:
    """Pinball is 2 ÷ (quantiles · Σy) · Σ loss; P(y < q) ≤ level ≤ P(y ≤ q) where a quantile is calibrated."""
    total = sum(sums[f"{q}__pinball"] for q in QUANTILES)
    scaled = _ratio(total, sums["y_sum"])
    yield Figure(MODEL, "pinball", segment, None if scaled is None else 2 * scaled / len(QUANTILES))
    for q in QUANTILES:
        yield Figure(MODEL, f"below_{q}", segment, float(sums[f"{q}__below"] / sums["n"]))
        yield Figure(MODEL, f"at_most_{q}", segment, float(sums[f"{q}__at_most"] / sums["n"]))
    if segment == "all":
        for tenth in TENTHS:
            yield Figure(MODEL, "pit", f"tenth={tenth}", float(sums[f"pit_{tenth}"] / sums["n"]))
