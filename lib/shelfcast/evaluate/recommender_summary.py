"""A backtest of ranked lists: one document with every figure of every origin, and their means."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich.table import Table

from shelfcast.errors import TableMissing
from shelfcast.evaluate import recommender_tables
from shelfcast.evaluate.list_baselines import UNSEEN
from shelfcast.evaluate.list_metrics import COMPARED, MODEL, NOVEL_LISTS, ours
from shelfcast.evaluate.list_sums import METRICS
from shelfcast.evaluate.purchases import ALL, NOVEL
from shelfcast.evaluate.summary import mean

SPREAD = ("coverage", "novelty")


@dataclass
class Origin:
    """One origin's figures.

    Attributes:
        k: length of the lists.
        values: model, metric, segment → value.
        named: model, metric, segment → the best of the others.
        versions: of the trained models.
    """

    k: int
    values: dict[tuple[str, str, str], float | None] = field(default_factory=dict)
    named: dict[tuple[str, str, str], str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def value(self, model: str | None, metric: str, segment: str = ALL) -> float | None:
        """A figure by the metric's name without k."""
        return None if model is None else self.values.get((model, f"{metric}@{self.k}", segment))

    def users(self, segment: str = ALL, model: str = MODEL) -> float | None:
        return self.values.get((model, "users", segment))

    def models(self, *, novel: bool) -> list[str]:
        """Models whose lists are of any product, or of new ones alone; ours first, then the best."""
        segment = NOVEL if novel else ALL
        names = {model for model, metric, where in self.values if (metric, where) == (f"recall@{self.k}", segment)}
        wanted = [name for name in names if (name == UNSEEN or name.endswith(NOVEL_LISTS)) == novel]
        return sorted(wanted, key=lambda name: (not ours(name), -(self.value(name, "recall", segment) or 0.0), name))

    def best(self, metric: str, segment: str = ALL, model: str = MODEL) -> str | None:
        """The best of the others, among lists of the same kind."""
        return self.named.get((model, f"{metric}@{self.k}", segment))

    def segments(self) -> list[str]:
        return [where for model, metric, where in self.values if (model, metric) == (MODEL, "users")]

    def difference(self, metric: str, segment: str = ALL, model: str = MODEL) -> list[float | None]:
        """Ours less the best of the others, low, high."""
        parts = ("difference", "interval_low", "interval_high")
        return [self.values.get((model, f"{metric}@{self.k}_{part}", segment)) for part in parts]


def bench(rows: Iterable[Mapping[str, Any]], configuration: str, k: int) -> tuple[list[Table], dict[str, Any]]:
    """Sum up rolling origins.

    Args:
        rows: of ops/metrics of all origins.
        configuration: hash of what decides the lists.
        k: length of the lists.

    Returns:
        tables to print, and the document: ``bench``, ``configuration``, ``k``, ``ratio`` (mean recall of the
        recommender ÷ mean recall of each origin's best baseline) and every figure it follows from; ``novel`` holds
        lists of new products alone.

    Raises:
        TableMissing: if no origin has measured lists.
    """
    origins = _measured(rows, k)
    every = list(origins.values())
    ratios = {metric: _ratio(every, metric) for metric in METRICS}
    document = {
        "bench": "recommend", "configuration": configuration, "k": k, "ratio": ratios["recall"], "ratios": ratios,
        "mean": {name: _means(every, name, (*METRICS, *SPREAD), ALL) for name in names(every, novel=False)},
        "novel": {name: _means(every, name, METRICS, NOVEL) for name in names(every, novel=True)},
        "origins": {day.isoformat(): _document(origin) for day, origin in origins.items()},
    }  # fmt: skip
    return recommender_tables.tables(origins), document


def names(origins: Sequence[Origin], *, novel: bool) -> list[str]:
    """Models of any origin, in the order of their first one."""
    return list(dict.fromkeys(name for origin in origins for name in origin.models(novel=novel)))


def _measured(rows: Iterable[Mapping[str, Any]], k: int) -> dict[date, Origin]:
    origins: dict[date, Origin] = defaultdict(lambda: Origin(k))
    for row in rows:
        origin, key = origins[row["as_of"]], (row["model"], row["metric"], row["segment"])
        origin.values[key] = row["value"]
        if row["baseline"]:
            origin.named[key] = row["baseline"]
        if row["model_version"] != "-":
            origin.versions[row["model"]] = row["model_version"]
    found = {day: origin for day, origin in sorted(origins.items()) if origin.value(MODEL, "recall") is not None}
    if not found:
        raise TableMissing("ops/metrics holds no measured lists: the truth after the origins has not arrived")
    return found


def _ratio(origins: Sequence[Origin], metric: str) -> float | None:
    ours_ = mean([origin.value(MODEL, metric) for origin in origins])
    theirs = mean([origin.value(origin.best(metric), metric) for origin in origins])
    return ours_ / theirs if ours_ is not None and theirs else None


def _means(origins: Sequence[Origin], name: str, metrics: Sequence[str], segment: str) -> dict[str, float | None]:
    return {
        f"{metric}@{origins[0].k}": mean([origin.value(name, metric, segment) for origin in origins])
        for metric in metrics
    }


def _document(origin: Origin) -> dict[str, Any]:
    parts = [segment for segment in origin.segments() if segment != NOVEL]
    return {
        "model_version": origin.versions.get(MODEL),
        "users": origin.users(),
        "novel_users": origin.users(NOVEL),
        "models": {
            name: _means([origin], name, (*METRICS, *SPREAD), ALL) for name in origin.models(novel=False)
        },
        "novel": {name: _means([origin], name, METRICS, NOVEL) for name in origin.models(novel=True)},
        "differences": dict(_differences(origin, MODEL, parts)),
        "novel_differences": dict(_differences(origin, MODEL + NOVEL_LISTS, [NOVEL])),
        "segments": {
            segment: {"users": origin.users(segment), **_by_model(origin, segment)}
            for segment in parts if segment != ALL
        },
    }  # fmt: skip


def _by_model(origin: Origin, segment: str) -> dict[str, dict[str, float | None]]:
    known = [metric for metric in METRICS if origin.value(MODEL, metric, segment) is not None]
    return {
        f"{metric}@{origin.k}": {name: origin.value(name, metric, segment) for name in origin.models(novel=False)}
        for metric in known
    }


def _differences(origin: Origin, model: str, segments: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Segment → metric → baseline, difference, low, high."""
    for segment in segments:
        found = {
            f"{metric}@{origin.k}": [origin.best(metric, segment, model), *origin.difference(metric, segment, model)]
            for metric in COMPARED
            if origin.best(metric, segment, model) is not None
        }
        if found:
            yield segment, found
