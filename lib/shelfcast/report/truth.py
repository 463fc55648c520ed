"""What then happened: units in the periods after as_of, as far as they have arrived."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.report.reader import Reader, among

Series = tuple[str, str]
LARGEST_KEPT = 50_000  # series held while the largest are looked for


@dataclass(frozen=True)
class Truth:
    """Units after as_of, from gold/demand where later runs have built it, else straight from silver/events.

    The newest version is read: truth arrives after a run has been published.
    """

    reader: Reader
    grain: str
    targets: tuple[date, ...]

    @cached_property
    def _built(self) -> set[date]:
        where = (pc.field("grain") == self.grain) & self._slices() & among("period_start", self.targets)
        built = self.reader.sums("gold/demand", ["period_start"], [], where, newest=True)
        return set(built["period_start"].to_pylist())

    @cached_property
    def arrived(self) -> list[date]:
        """The periods whose truth is complete."""
        if not self.targets:
            return []
        days = 7 if self.grain.startswith("week") else 1
        dates = self.reader.sums("silver/events", ["event_date"], [], self._slices(), newest=True)["event_date"]
        last = pc.max(dates).as_py() if len(dates) else None
        return [t for t in self.targets if t in self._built or (last and last >= t + timedelta(days=days - 1))]

    @cached_property
    def total(self) -> dict[date, float]:
        """Period → units of all series; periods that have not arrived are missing."""
        sums = dict.fromkeys(self.arrived, 0.0)
        if not sums:
            return {}
        for row in self._units([], None).to_pylist():
            sums[row["start"]] += row["units"]
        return sums

    def largest(self, n: int) -> list[Series]:
        """The series that sold most in one of the periods."""
        table = self._units(["product_id", "store_id"], None, at_most=LARGEST_KEPT)
        ranked = table.sort_by([("units", "descending"), ("product_id", "ascending"), ("store_id", "ascending")])
        series = zip(ranked["product_id"].to_pylist(), ranked["store_id"].to_pylist(), strict=True)
        return list(dict.fromkeys(series))[:n]

    def per_series(self, products: Collection[str]) -> dict[tuple[str, str, date], float]:
        """(product, store, period) → units of those that sold."""
        if not self.arrived:
            return {}
        where = among("product_id", sorted(products))
        rows = self._units(["product_id", "store_id"], where).to_pylist()
        return {(row["product_id"], row["store_id"], row["start"]): row["units"] for row in rows}

    def _slices(self) -> pc.Expression:
        """The weeks that the periods lie in: prunes files before anything is read."""
        since, until = min(self.targets) - timedelta(days=6), max(self.targets) + timedelta(days=6)
        return (pc.field("week_start") >= since) & (pc.field("week_start") <= until)

    def _units(self, keys: Sequence[str], where: pc.Expression | None, at_most: int | None = None) -> pa.Table:
        """Columns keys, start, units."""
        wanted = self._slices() if where is None else self._slices() & where
        built = [start for start in self.arrived if start in self._built]
        parts = [
            self._from_demand(keys, wanted & among("period_start", built), at_most) if built else None,
            self._from_events(keys, wanted, [s for s in self.arrived if s not in self._built], at_most),
        ]
        schema = pa.schema([*((key, pa.string()) for key in keys), ("start", pa.date32()), ("units", pa.float64())])
        fitted = [part.select(schema.names).cast(schema) for part in parts if part]
        return pa.concat_tables([schema.empty_table(), *fitted])

    def _from_demand(self, keys: Sequence[str], where: pc.Expression, at_most: int | None) -> pa.Table:
        grain = pc.field("grain") == self.grain
        table = self.reader.sums(
            "gold/demand", [*keys, "period_start"], ["units"], where & grain, newest=True, at_most=at_most
        )
        return table.rename_columns({"period_start": "start"})

    def _from_events(
        self, keys: Sequence[str], where: pc.Expression, starts: list[date], at_most: int | None
    ) -> pa.Table | None:
        if not starts:
            return None
        weekly = self.grain.startswith("week")
        start = "week_start" if weekly else "event_date"
        per_store = self.grain.endswith("product_store")
        read = [key for key in keys if key != "store_id" or per_store]
        sold = where & among(start, starts) & among("event_type", ["purchase", "return"])
        table = self.reader.sums(
            "silver/events", [*read, start, "event_type"], ["quantity"], sold, newest=True, at_most=at_most
        )
        if table.num_rows == 0:
            return None
        back = pc.equal(table["event_type"], "return")
        size = pc.abs(table["quantity"])
        units = pc.if_else(back, pc.negate(size), size)
        table = table.append_column("units", units).rename_columns({start: "start"})
        folded = table.group_by([*read, "start"]).aggregate([("units", "sum")]).rename_columns({"units_sum": "units"})
        if "store_id" in keys and not per_store:
            folded = folded.append_column("store_id", pa.array(["*"] * folded.num_rows, pa.string()))
        return folded
