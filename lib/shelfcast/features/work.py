"""What one run of the features step has at hand, and the one way its tables write their slices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import pyarrow.compute as pc
from pyspark.sql import DataFrame

from shelfcast.features.contents import Inputs, stale, texts
from shelfcast.features.periods import Clock
from shelfcast.features.silver import Silver
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Step


@dataclass
class Work:
    """Attributes:
    step, silver: the attempt and what it may see.
    contents: table → slice → content id of what this run leaves in the lake.
    slices: table → how many slices were built and how many kept.
    rows: table → rows in the slices that were built.
    """

    step: Step
    silver: Silver
    contents: dict[str, dict[str, str]] = field(default_factory=dict)
    slices: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        return self.silver.clock

    def stored(self, table: str) -> Inputs:
        """Content ids of a silver table."""
        return Inputs.stored(self.step, table)

    def made(self, table: str) -> Inputs:
        """Content ids of a gold table as this run leaves it."""
        return Inputs(table, self.contents.get(table, {}))

    def write(
        self,
        table: str,
        wanted: Mapping[date, str],
        build: Callable[[list[date]], DataFrame],
        slice_column: str,
        *,
        each: bool = False,
    ) -> list[date]:
        """Replace the slices whose content id differs from the wanted one, and return them.

        Args:
            wanted: slice → content id.
            build: the table's rows in the given slices.
            each: one commit a slice instead of one for all.
        """
        changed = stale(self.step, table, wanted)
        for group in [[day] for day in changed] if each else [changed]:
            if group:
                self.step.say(f"{table}: building {_span(group)}")
                self.step.replace(table, build(group), group)
        self.contents[table] = texts(wanted)
        self.slices[table] = {"built": len(changed), "kept": len(wanted) - len(changed)}
        self.rows[table] = self._count(table, slice_column, changed)
        return changed

    def _count(self, table: str, slice_column: str, slices: list[date]) -> int:
        if not slices:
            return 0
        return Snapshot(self.step.lake.uri, table).count(pc.field(slice_column).isin(slices))


def _span(days: list[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{len(days)} slices from {days[0]} to {days[-1]}"
