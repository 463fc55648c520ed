"""Whether two lakes hold the same: tables row by row, scores up to float tolerance, trainings by their metrics."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import contract

OWN = {"ingest_id", "ingested_at", "_ingest_id", "_ingested_at"}  # a lake's own: when and by which run it came
SCORES = ("gold/forecasts", "gold/totals", "gold/recommendations")
TRAINED = ("forecaster", "recommender")
ERRORS = re.compile(r"wape|rmse|pinball|(recall|ndcg|mrr)@\d+")
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Compared:
    """A line of the comparison: what, how many rows or values, and what differs ("" if nothing)."""

    what: str
    rows: int
    differs: str = ""


def tables(lake: str) -> list[str]:
    """The tables of bronze, silver and gold that there are before training."""
    found = [
        str(log.parent.relative_to(lake))
        for room in ("bronze/*", "silver", "gold")
        for log in Path(lake).glob(f"{room}/*/_delta_log")
    ]
    return sorted(set(found) - set(SCORES))


def exactly(one: str, other: str) -> Iterator[Compared]:
    """Every table before training: the same rows, to the last bit."""
    for name in sorted({*tables(one), *tables(other)}):
        if not Snapshot.exists(one, name) or not Snapshot.exists(other, name):
            yield Compared(name, 0, f"is missing in {one if Snapshot.exists(other, name) else other}")
            continue
        left, right = _rows(one, name), _rows(other, name)
        yield Compared(name, len(left), _difference(left, right, 0.0))


def scores(one: str, other: str) -> Iterator[Compared]:
    """Scores of one model: the same rows, numbers up to float tolerance."""
    for name in SCORES:
        if not Snapshot.exists(one, name) and not Snapshot.exists(other, name):
            continue
        left, right = _rows(one, name), _rows(other, name)
        yield Compared(name, len(left), _difference(left, right, _TOLERANCE))


def metrics(one: str, other: str, apart: float) -> Iterator[Compared]:
    """Errors of the models trained in each, over all series and users: relative differences of at most ``apart``."""
    left, right = _measured(one), _measured(other)
    for name in sorted({*left, *right}):
        a, b = left.get(name, math.nan), right.get(name, math.nan)
        near = math.isclose(a, b, rel_tol=apart)
        told = f"{' '.join(name)}: {a:.4f} and {b:.4f}"
        yield Compared(told, 1, "" if near else f"by more than {apart:.0%}")


def _rows(lake: str, name: str) -> pa.Table:
    """A table without what is a lake's own, in the order of its key and then of all that can be ordered."""
    rows = Snapshot(lake, name).arrow()
    rows = rows.select(sorted(set(rows.column_names) - OWN)).combine_chunks()
    plain = [field.name for field in rows.schema if not pa.types.is_nested(field.type)]
    first = [column for column in contract(name).key if column in plain]
    order = [*first, *(column for column in plain if column not in first)]
    return rows.take(pc.sort_indices(rows, sort_keys=[(column, "ascending") for column in order]))


def _difference(left: pa.Table, right: pa.Table, tolerance: float) -> str:
    if left.column_names != right.column_names:
        return f"columns {sorted(set(left.column_names) ^ set(right.column_names))}"
    if len(left) != len(right):
        return f"{len(left)} rows and {len(right)}"
    wrong = {name: count for name in left.column_names if (count := _wrong(left[name], right[name], tolerance))}
    return ", ".join(f"{name} in {count} rows" for name, count in wrong.items())


def _wrong(left: pa.ChunkedArray, right: pa.ChunkedArray, tolerance: float) -> int:
    """How many values differ."""
    if left.equals(right):
        return 0
    if pa.types.is_floating(left.type):
        a, b = (column.to_numpy(zero_copy_only=False).astype(np.float64) for column in (left, right))
        return int(np.sum(~np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)))
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return sum(not _alike(a, b, tolerance) for a, b in pairs)


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[name], b[name], tolerance) for name in a)
    if isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str):
        return len(a) == len(b) and all(_alike(x, y, tolerance) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _measured(lake: str) -> dict[tuple[str, ...], float]:
    """(as_of, model, metric) → value."""
    return {
        (str(row["as_of"]), row["model"], row["metric"]): row["value"]
        for row in Snapshot(lake, "ops/metrics").arrow().to_pylist()
        if row["model"] in TRAINED and row["segment"] == "all" and ERRORS.fullmatch(row["metric"])
    }
