"""Steps that do next to nothing, and a lake of four weeks of events, for tests of what runs when."""

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from shelfcast.errors import ShelfcastError
from shelfcast.lake.commits import arrow_schema
from shelfcast.lake.step import Outcome, Step
from shelfcast.lake.tables import contract
from shelfcast.pipeline import Done
from shelfcast.stages import Run, Stage

FIRST, LAST = date(2017, 1, 2), date(2017, 1, 25)


class Quiet:
    """Listens to a pipeline.

    Attributes:
        lines: what was said, and for each step that ended its name and whether it was skipped.
    """

    def __init__(self) -> None:
        self.lines: list[object] = []

    def begin(self, step: str, slice_: str) -> Callable[[str], None]:
        return self.lines.append

    def end(self, done: Done) -> None:
        self.lines.append((done.record.step, done.skipped))


calls: list[str] = []  # the run of each call of ``works``


def works(step: Step) -> Outcome:
    calls.append(step.run_id)
    return Outcome(rows_in=1, rows_out=1, contents={"gold/demand": {"2017-01-02": "new"}})


def fails(step: Step) -> Outcome:
    raise ShelfcastError("the disk is full")


def stage(function: Run = works, **changes: Any) -> Stage:
    """A step of that function; it reads silver/events."""
    given: dict[str, Any] = {"name": "features", "runs": f"stand_in:{function.__name__}", "rooms": ("features",),
             "sections": ("windows",), "reads": ("silver/events",)}  # fmt: skip
    return Stage(**given | changes)


def events_lake(folder: Path) -> str:
    """A lake whose silver/events hold one event each of FIRST and LAST."""
    uri = str(folder / "lake")
    rows = [
        {"event_id": str(day), "event_time": pa.scalar(0, pa.timestamp("us", "UTC")).as_py(), "event_date": day,
         "week_start": week, "event_type": "purchase", "user_id": "u", "product_id": "p", "store_id": "*",
         "quantity": 1.0, "source": "s", "ingest_id": "i",
         "ingested_at": pa.scalar(0, pa.timestamp("us", "UTC")).as_py()}
        for day, week in ((FIRST, date(2017, 1, 2)), (LAST, date(2017, 1, 23)))
    ]  # fmt: skip
    data = pa.Table.from_pylist(rows, schema=arrow_schema(contract("silver/events")))
    write_deltalake(f"{uri}/silver/events", data, partition_by=["week_start"])
    return uri


def unscored(uri: str) -> None:
    """Makes the tables that are published, without a row."""
    for table in ("gold/forecasts", "gold/totals", "gold/recommendations"):
        write_deltalake(f"{uri}/{table}", arrow_schema(contract(table)).empty_table(), partition_by=["as_of"])


def installed(monkeypatch: pytest.MonkeyPatch, **functions: Run) -> None:
    """Lets ``stage`` find functions; nothing counts as called yet."""
    calls.clear()
    module = ModuleType("stand_in")
    for name, function in {"works": works, "fails": fails, **functions}.items():
        setattr(module, name, function)
    monkeypatch.setitem(sys.modules, "stand_in", module)
