"""How good the lists were: beside the baselines, by shopper and by product."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shelfcast.report import charts
from shelfcast.report.accuracy import RECOMMENDER, Metrics, Score, label

RECALL = "recall@10"
HEADS = {
    RECALL: "Recall@10", "ndcg@10": "NDCG@10", "mrr@10": "MRR@10", "coverage@10": "Coverage", "novelty@10": "Novelty",
}  # fmt: skip
PARTS = {"history": "By how many products a shopper had bought", "target": "By how much a product sells"}
_ORDER = ("head", "torso", "tail")


@dataclass(frozen=True)
class Part:
    """A part of the shoppers or of what they bought; ``interval`` is of our recall less the best baseline's."""

    label: str
    users: float | None
    ours: float
    best: Score | None
    interval: tuple[float, float] | None


def list_accuracy(metrics: Metrics, smallest: int) -> dict[str, Any]:
    """What the page is given.

    Args:
        smallest: parts with fewer shoppers are left out.
    """
    heads = {name: head for name, head in HEADS.items() if metrics.ranked(name, RECOMMENDER)}
    scores = metrics.ranked(RECALL, RECOMMENDER)
    return {
        "recommender": metrics.table(list(heads), RECOMMENDER) if scores else [],
        "recommender_heads": list(heads.values()),
        "recommender_verdict": _verdict(metrics),
        "recommender_parts": _parts(metrics, smallest),
        "recall_chart": charts.dots(scores, "Recall@10"),
    }


def _verdict(metrics: Metrics) -> str:
    ours, best = metrics.value(RECOMMENDER, RECALL), metrics.best_baseline(RECALL, RECOMMENDER)
    if ours is None:
        return ""
    said = f"They found {ours:.1%} of what could be found"
    if best is None:
        return f"{said}."
    said += f", {charts.words(best.model)} {best.value:.1%}."
    interval = metrics.list_interval(RECALL)
    if interval is None:
        return said
    low, high = (f"{end:+.3f}".replace("-", "−") for end in interval)
    return f"{said} The difference in recall lies between {low} and {high} (95 %, paired over shoppers)."


def _parts(metrics: Metrics, smallest: int) -> list[tuple[str, str, list[Part]]]:
    """Dimension, its title and its parts."""
    segments = metrics.segments(RECALL, RECOMMENDER)
    found = [(name, title, _rows(metrics, segments.get(name, []), smallest)) for name, title in PARTS.items()]
    return [(name, title, rows) for name, title, rows in found if rows]


def _rows(metrics: Metrics, segments: Sequence[str], smallest: int) -> list[Part]:
    rows = [
        Part(
            label(segment), metrics.size(RECOMMENDER, segment), ours,
            metrics.best_baseline(RECALL, RECOMMENDER, segment), metrics.list_interval(RECALL, segment),
        )
        for segment in segments
        if (ours := metrics.value(RECOMMENDER, RECALL, segment)) is not None
    ]  # fmt: skip
    kept = [row for row in rows if row.users is None or row.users >= smallest]
    return sorted(kept, key=lambda row: _ORDER.index(row.label) if row.label in _ORDER else 0)
