"""A rank's share of gold/windows, read from the pinned version without the driver."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.errors import TrainingError
from shelfcast.lake.snapshot import Snapshot
from shelfcast.models import window_targets, window_tensors
from shelfcast.models.window_tensors import Inputs, Windows
from shelfcast.train.collective import Collective

BUCKETS = 1024
_RARE = 20  # series; rarer values of a static column share one bucket
_MOST_VALUES = 5000
_SEASONAL_DAYS = 2 * 365  # between the first and last cutoff: the year's phase repeats often enough to be learnt


@dataclass(frozen=True)
class Share:
    """What one rank trains on, and what all ranks have agreed on.

    Attributes:
        windows: this rank's windows that carry at least one target.
        least_sales: periods with sales from which a position counts.
        vocabularies, norm, inputs: see TrainedForecaster.
        context, horizon: of the windows.
    """

    windows: Windows
    least_sales: int
    vocabularies: dict[str, list[str]]
    norm: dict[str, list[float]]
    inputs: Inputs
    context: int
    horizon: int


class WindowsShare:
    """Reads gold/windows in batches: the rows of some cutoffs whose bucket falls to this rank."""

    def __init__(self, lake: str, version: int, chains: Mapping[str, Sequence[str]], collective: Collective) -> None:
        self.snapshot = Snapshot(lake, "gold/windows", version)
        self.chains = {grain: sorted(date.fromisoformat(text) for text in chain) for grain, chain in chains.items()}
        self.newest = {grain: chain[-1] for grain, chain in self.chains.items()}
        self.collective = collective
        mine = [bucket for bucket in range(BUCKETS) if bucket % collective.size == collective.rank]
        of_grain = [(pc.field("grain") == grain) & pc.field("cutoff").isin(days) for grain, days in self.chains.items()]
        sold = pc.field("length") > 0  # series that never sold have nothing to learn from
        self.where = reduce(lambda a, b: a | b, of_grain) & pc.field("bucket").isin(mine) & sold

    def _tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        for batch in self.snapshot.batches(columns, self.where, rows=8192):
            if batch.num_rows:
                yield pa.Table.from_batches([batch])

    def load(self, statics: Sequence[str], least_sales: int, inputs: Inputs | None = None) -> Share:
        """The share, with vocabularies and normalisation that all ranks agree on.

        Args:
            statics: columns to be numbered.
            least_sales: periods with sales from which a position counts.
            inputs: what the network will be given; the phase of the year is added where the log spans years.

        Raises:
            TrainingError: if no rank finds a window.
        """
        vocabularies = self._vocabularies(statics)
        known = [shape for shape in self.collective.gather(self._shape()) if shape is not None]
        if not known:
            raise TrainingError(
                f"table gold/windows has no window with cutoffs {self.newest}: build the features first"
            )
        context, horizon = known[0]
        spans = [(days[-1] - days[0]).days for days in self.chains.values()]
        inputs = replace(inputs or Inputs(), seasonal=max(spans) >= _SEASONAL_DAYS)
        windows, least = self._windows(vocabularies, inputs.seasonal, least_sales)
        if windows is None:
            windows = _nothing(context, horizon, len(inputs.future), len(statics))
        norm = window_tensors.normalisation(self.collective.sum(window_tensors.moments(windows, inputs)))
        return Share(windows, least, vocabularies, norm, inputs, context, horizon)

    def _shape(self) -> tuple[int, int] | None:
        """Context and horizon of the stored windows."""
        for batch in self.snapshot.batches(["units", "display"], self.where, rows=1):
            if batch.num_rows:
                context = len(batch["units"][0])
                return context, len(batch["display"][0]) - context
        return None

    def _vocabularies(self, statics: Sequence[str]) -> dict[str, list[str]]:
        counts: dict[str, Counter[str]] = {name: Counter() for name in statics}
        for table in self._tables(list(statics)) if statics else ():
            for name in statics:
                for pair in table[name].value_counts().to_pylist():
                    if pair["values"] is not None:
                        counts[name][pair["values"]] += pair["counts"]
        everywhere: dict[str, Counter[str]] = {name: Counter() for name in statics}
        for seen in self.collective.gather({name: dict(count) for name, count in counts.items()}):
            for name, count in seen.items():
                everywhere[name].update(count)
        common = {name: dict(count.most_common(_MOST_VALUES)) for name, count in everywhere.items()}
        return window_tensors.vocabulary(common, _RARE)

    def _windows(self, vocabularies: Any, seasonal: bool, least_sales: int) -> tuple[Windows | None, int]:
        """Windows with a target; where a short log has none at all, fewer periods with sales are enough."""
        least = least_sales
        while True:
            parts = []
            for table in self._tables(window_tensors.COLUMNS):
                part = window_tensors.read(table, vocabularies, seasonal, newest=self.newest)
                part = part.take(window_targets.weights(part, least).any((1, 2)))
                if len(part):
                    parts.append(part)
            if least == 1 or self.collective.sum(sum(map(len, parts))) > 0:
                if least < least_sales:
                    self.collective.say(
                        f"forecaster: the log is short, so positions count from {least} period(s) with sales on "
                        f"(forecaster.min_sale_periods = {least_sales})"
                    )
                return (Windows.concatenated(parts) if parts else None), least
            least //= 2


def _nothing(context: int, horizon: int, planned: int, statics: int) -> Windows:
    """No rows, in the right shapes."""
    flat = np.zeros((0, context), np.float32)
    none = np.zeros(0, np.int32)
    return Windows(
        flat, flat, flat, flat, flat, np.zeros((0, context + horizon, planned), np.float32), none, none,
        np.zeros((0, statics), np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32),
    )  # fmt: skip
