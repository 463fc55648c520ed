"""Turns sums over users into figures of ranked lists: accuracy by segment, spread, and how sure a difference is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shelfcast.evaluate.bootstrap import mean_intervals
from shelfcast.evaluate.forecast_metrics import Figure
from shelfcast.evaluate.list_sums import METRICS
from shelfcast.evaluate.purchases import ALL, BUCKETS, NOVEL

MODEL = "recommender"
NOVEL_LISTS = "_novel"
"""What the names of models end in whose lists hold new products alone."""
COMPARED = ("recall", "ndcg")
_OF_PARTS = {"history": COMPARED, "target": ("recall",)}  # metrics of a segment; others have all


@dataclass(frozen=True)
class Sums:
    """Sums over users by bucket.

    Attributes:
        users: segment → [BUCKETS].
        values: model, segment, metric → [BUCKETS].
        models: names; one without a hit has no values.
    """

    users: Mapping[str, NDArray[Any]]
    values: Mapping[tuple[str, str, str], NDArray[Any]]
    models: Sequence[str]

    @classmethod
    def of(cls, users: pd.DataFrame, found: pd.DataFrame, models: Sequence[str]) -> "Sums":
        """From ``list_sums.users`` and ``list_sums.sums``, collected."""
        return cls(
            {str(segment): _by_bucket(part, "users") for segment, part in users.groupby("segment")},
            {
                (str(model), str(segment), metric): _by_bucket(part, metric)
                for (model, segment), part in found.groupby(["model", "segment"])
                for metric in METRICS
            },
            models,
        )

    def sums(self, model: str, segment: str, metric: str) -> NDArray[Any]:
        return self.values.get((model, segment, metric), np.zeros(BUCKETS))

    def mean(self, model: str, segment: str, metric: str) -> float:
        return float(self.sums(model, segment, metric).sum() / self.users[segment].sum())

    def best(self, models: Sequence[str], segment: str, metric: str) -> str:
        return max(models, key=lambda model: self.mean(model, segment, metric))


def _by_bucket(part: pd.DataFrame, column: str) -> NDArray[Any]:
    return np.bincount(part["bucket"], part[column], BUCKETS)


def ours(name: str) -> bool:
    """Whether a model is the recommender, with mixed lists or with new products alone."""
    return name.removesuffix(NOVEL_LISTS) == MODEL


def figures(found: Sums, spread: Mapping[str, Mapping[str, float]], k: int, seed: int) -> Iterator[Figure]:
    """Every figure, of the recommender beside the best of the others by the same metric.

    Args:
        spread: model → coverage, novelty.
        k: length of the lists.
        seed: of the bootstrap.
    """
    compared: list[tuple[Figure, str]] = []
    for segment, users in found.users.items():
        metrics = _OF_PARTS.get(segment.partition("=")[0], METRICS)
        names = [name for name in found.models if segment == NOVEL or not name.endswith(NOVEL_LISTS)]
        rivals = [name for name in names if not ours(name)]
        for name in names:
            if ours(name):
                yield Figure(name, "users", segment, float(users.sum()))
            for metric in metrics:
                figure = Figure(name, f"{metric}@{k}", segment, found.mean(name, segment, metric))
                if ours(name) and rivals:
                    best = found.best(rivals, segment, metric)
                    figure = Figure(name, figure.metric, segment, figure.value, best)
                    compared += [(figure, metric)] if metric in COMPARED else []
                yield figure
    for figure, metric in compared:
        theirs = found.mean(figure.baseline or "", figure.segment, metric)
        lift = figure.value / theirs - 1 if figure.value is not None and theirs > 0 else None
        yield Figure(figure.model, f"lift_{figure.metric}", figure.segment, lift, figure.baseline)
    yield from _differences(found, compared, seed)
    for name in found.models:
        for metric, value in spread.get(name, {}).items():
            yield Figure(name, f"{metric}@{k}", ALL, value)


def _differences(found: Sums, compared: Sequence[tuple[Figure, str]], seed: int) -> Iterator[Figure]:
    """Differences to the best of the others, paired over users, with their 95 % intervals."""
    if not compared:
        return
    apart = np.column_stack(
        [
            found.sums(one.model, one.segment, metric) - found.sums(one.baseline or "", one.segment, metric)
            for one, metric in compared
        ]
    )
    users = np.column_stack([found.users[one.segment] for one, _ in compared])
    means, lows, highs = mean_intervals(apart, users, seed)
    for place, (one, _) in enumerate(compared):
        for ending, values in (("difference", means), ("interval_low", lows), ("interval_high", highs)):
            yield Figure(one.model, f"{one.metric}_{ending}", one.segment, float(values[place]), one.baseline)
