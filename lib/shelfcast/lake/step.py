"""What a step is given and what it gives back."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from shelfcast.errors import ShelfcastError
from shelfcast.lake.costs import Costs
from shelfcast.lake.store import Lake, SliceValue
from shelfcast.settings import Settings


def content_id(*parts: object) -> str:
    """A hash of JSON-able parts, the same in every process."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass
class Outcome:
    """What a step did.

    Attributes:
        rows_in: records read.
        rows_out: records written.
        counts: anything else that was counted, JSON-able.
        contents: table → slice (text; ``*`` for tables without) → content id of what the step wrote.
    """

    rows_in: int = 0
    rows_out: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Step:
    """One attempt at a step's slice.

    Attributes:
        lake: the tables.
        settings: the whole configuration.
        as_of: the last day the step may know of; None for ingest.
        run_id: the run.
        attempt: rises with every attempt in this lake.
        fingerprint: hash of code, configuration and inputs.
        code: room → hash of its code that decides the result.
        models: kind → folder of the model to use.
        say: shows a line of progress.
        stored: table → slice → content id of what the lake holds, from the ledger.
        costs: what its parts cost.
    """

    lake: Lake
    settings: Settings
    as_of: date | None
    run_id: str
    attempt: int
    fingerprint: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = print
    stored: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    costs: Costs = field(default_factory=lambda: Costs("step"))

    @property
    def spark(self) -> SparkSession:
        return self.lake.spark

    def day(self) -> date:
        """``as_of``, for steps that cannot do without."""
        if self.as_of is None:
            raise ShelfcastError("this step needs an as-of date: pass --as-of YYYY-MM-DD")
        return self.as_of

    def part(self, name: str) -> AbstractContextManager[None]:
        """Inside, Spark's jobs of this thread are named after the part, and what they cost is written down."""
        return self.costs.part(self.spark, name)

    def has(self, table: str) -> bool:
        return self.lake.exists(table)

    def version(self, table: str) -> int:
        """The version this step reads: the newest at its first read."""
        if table not in self.inputs:
            self.inputs[table] = self.lake.version(table)
        return self.inputs[table]

    def read(self, table: str) -> DataFrame:
        """The table at the version this step has pinned."""
        return self.lake.read(table, self.version(table))

    def replace(self, table: str, frame: DataFrame, slices: Sequence[SliceValue] | None = None) -> None:
        """Replace exactly these slices (the whole table if None) in one commit; later reads see the result."""
        with self.part(f"write {table}"):
            version = self.lake.replace(table, frame, slices=slices, attempt=self.attempt, run_id=self.run_id)
        self.outputs[table] = version
        self.inputs.pop(table, None)

    def contents(self, table: str) -> dict[str, str]:
        """Slice → content id of what is stored now; empty if nothing is or nobody knows."""
        return dict(self.stored.get(table, {})) if self.has(table) else {}
