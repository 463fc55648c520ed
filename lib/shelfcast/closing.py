"""How a run ends: what it did, whether what it published is whole, how good it was, where the report lies."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow.compute as pc
from rich.table import Table

from shelfcast.lake import overview
from shelfcast.lake.snapshot import Snapshot
from shelfcast.pipeline import Done
from shelfcast.terminal import facts, rows, summary

_HEADLINES = ("wape", "rmse", "bias", "recall@10", "ndcg@10", "mrr@10", "coverage@10", "novelty@10")


def closing(lake: str, as_of: date, done: Sequence[Done]) -> tuple[dict[str, Any], list[Table | str]]:
    """The document for machines and what people see at the end of a weekly run."""
    figures = overview.figures(lake, as_of)
    accuracy = _accuracy(lake, as_of)
    report = next((one.record.counts.get("path") for one in done if one.record.step == "report"), None)
    document = {
        **steps_document(done),
        "lake": lake,
        "as_of": as_of.isoformat(),
        "figures": figures,
        "accuracy": accuracy,
        "report": report,
    }
    shown: list[Table | str] = [summary(done), *(facts(f"Published {name}", fig) for name, fig in figures.items())]
    if accuracy:
        shown.append(rows(f"Accuracy at {as_of}, against what then happened", accuracy))
    else:
        shown.append(f"What happened after {as_of} has not arrived yet, so nothing could be measured.")
    shown.append(f"Lake    {lake}")
    if report:
        shown.append(f"Report  {report}")
    return document, shown


def steps_document(done: Sequence[Done]) -> dict[str, Any]:
    """Each step with its counts, for machines."""
    return {
        "steps": [
            {
                "step": one.record.step,
                "slice": one.record.slice,
                "status": "skipped" if one.skipped else one.record.status,
                "seconds": one.record.seconds,
                "rows_in": one.record.rows_in,
                "rows_out": one.record.rows_out,
                "counts": one.record.counts,
            }
            for one in done
        ]
    }


def _accuracy(lake: str, as_of: date) -> list[dict[str, Any]]:
    """Our models' headline metrics with the best baseline's beside them."""
    if not Snapshot.exists(lake, "ops/metrics"):
        return []
    where = (pc.field("as_of") == as_of) & (pc.field("segment") == "all")
    measured = Snapshot(lake, "ops/metrics").arrow(["model", "metric", "value", "baseline"], where).to_pylist()
    values = {(row["model"], row["metric"]): row["value"] for row in measured}
    found = [
        {
            "model": row["model"],
            "metric": row["metric"],
            "value": row["value"],
            "best baseline": row["baseline"],
            "its value": values.get((row["baseline"], row["metric"])),
        }
        for row in measured
        if row["model"] in ("forecaster", "recommender") and row["metric"] in _HEADLINES
    ]
    return sorted(found, key=lambda row: (row["model"], _HEADLINES.index(row["metric"])))
