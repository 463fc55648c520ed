"""Turns sums per cell into figures: accuracy, bias, calibration, and value added over the best baseline."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from shelfcast.evaluate.baselines import ROUNDED
from shelfcast.evaluate.sums import QUANTILES, RIVAL, TENTHS

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
    return [
        figure
        for segment, rows in segments(cells)
        for figure in _of_segment(cells[rows].sum(numeric_only=True), segment, names)
    ]


def best_baseline(cells: pd.DataFrame, names: Sequence[str], metric: str = "wape") -> str:
    """The baseline, rounded or not, with the lowest ``metric`` (wape, rmse, bias: nearest to 0) over all rows."""
    return _best(cells.sum(numeric_only=True), _variants(names), metric)


def segments(frame: pd.DataFrame) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Each segment of rows that have CELL's columns, and which rows belong to it."""
    yield "all", np.ones(len(frame), bool)
    labels = {"horizon": "horizon", "demand_class": "class", "decile": "decile", "promoted": "promoted"}
    for column, label in labels.items():
        values = sorted(frame[column].unique())
        if column == "promoted" and not any(values):
            continue
        for value in values:
            text = ("yes" if value else "no") if column == "promoted" else value
            yield f"{label}={text}", (frame[column] == value).to_numpy()


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


def _pinball(total: float, sums: pd.Series) -> float | None:
    scaled = _ratio(total, sums["y_sum"])
    return None if scaled is None else 2 * scaled / len(QUANTILES)


def _calibration(sums: pd.Series, segment: str) -> Iterator[Figure]:
    """Pinball is 2 ÷ (quantiles · Σy) · Σ loss; P(y < q) ≤ level ≤ P(y ≤ q) where a quantile is calibrated.

    Most counts are small, so those two lie far apart: coverage_q90 is the share of rows whose randomised probability
    integral transform is at most .9, which is .9 where the distribution is right.
    """
    rivals = [name for name in (RIVAL, RIVAL + ROUNDED) if f"{name}__pinball" in sums]
    scaled = {name: _pinball(sums[f"{name}__pinball"], sums) for name in rivals}
    best = min(rivals, key=lambda name: scaled[name] or 0.0, default=None)
    yield Figure(MODEL, "pinball", segment, _pinball(sum(sums[f"{q}__pinball"] for q in QUANTILES), sums), best)
    for name, value in scaled.items():
        yield Figure(name, "pinball", segment, value)
    covered = sum(sums[f"pit_{tenth}"] for tenth in TENTHS if tenth < 10)
    yield Figure(MODEL, "coverage_q90", segment, float(covered / sums["n"]))
    for q in QUANTILES:
        yield Figure(MODEL, f"below_{q}", segment, float(sums[f"{q}__below"] / sums["n"]))
        yield Figure(MODEL, f"at_most_{q}", segment, float(sums[f"{q}__at_most"] / sums["n"]))
    if segment == "all":
        for tenth in TENTHS:
            yield Figure(MODEL, "pit", f"tenth={tenth}", float(sums[f"pit_{tenth}"] / sums["n"]))


def scaled(row: Mapping[str, float | None], names: Sequence[str]) -> Iterator[Figure]:
    """RMSSE of the mean and of the baselines, overall.

    Args:
        row: ``sums.scaled_errors``.
        names: baselines.
    """
    for metric in ("rmsse", "rmsse_weighted"):
        known = {name: value for name in _variants(names) if (value := row[f"{name}__{metric}"]) is not None}
        yield Figure(MODEL, metric, "all", row[f"mean__{metric}"], min(known, key=lambda n: known[n], default=None))
        for name, value in known.items():
            yield Figure(name, metric, "all", value)


def against(
    rivals: Mapping[str, str], found: Iterable[tuple[str, str, tuple[float, float, float]]]
) -> Iterator[Figure]:
    """Differences in WAPE with their intervals.

    Args:
        rivals: what a rival stands for, the metric's prefix → its name.
        found: ``bootstrap.intervals``.
    """
    metrics = ("wape_difference", "wape_interval_low", "wape_interval_high")
    for segment, rival, values in found:
        for prefix in (prefix for prefix, name in rivals.items() if name == rival):
            for metric, value in zip(metrics, values, strict=True):
                yield Figure(MODEL, prefix + metric, segment, value, rival)
