"""What a lake holds, without a JVM: tables with their sizes, and figures that show a published slice is whole."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from pyarrow import fs

from shelfcast.errors import TableMissing
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.paths import filesystem, normalise, storage_options, table_uri
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import CONTRACTS, contract


def tables(lake: str) -> list[dict[str, Any]]:
    """One entry a table that exists: name, what a row is, rows, slices, files, bytes, Delta version."""
    uri = normalise(lake)
    return [_entry(uri, name) for name in names(uri)]


def names(lake: str) -> list[str]:
    """The tables that exist, raw ones first."""
    uri = normalise(lake)
    return [name for name in (*_bronze(uri), *CONTRACTS) if Snapshot.exists(uri, name)]


def _bronze(uri: str) -> list[str]:
    system, path = filesystem(uri)
    selector = fs.FileSelector(f"{path}/bronze", recursive=True, allow_not_found=True)
    logs = [info for info in system.get_file_info(selector) if info.base_name == "_delta_log"]
    return sorted(str(Path(info.path).parent.relative_to(path)) for info in logs)


def _entry(uri: str, name: str) -> dict[str, Any]:
    location = table_uri(uri, name)
    delta = DeltaTable(location, storage_options=storage_options(location))
    adds = pa.table(delta.get_add_actions(flatten=True))
    promised = contract(name)
    return {
        "table": name,
        "row": promised.row,
        "rows": int(pc.sum(adds["num_records"]).as_py() or 0),
        "slices": len(delta.partitions()) if promised.slice else 1,
        "slice": promised.slice,
        "key": list(promised.key),
        "files": adds.num_rows,
        "bytes": int(pc.sum(adds["size_bytes"]).as_py() or 0),
        "version": delta.version(),
        "personal": promised.personal,
    }


def published(lake: str, table: str, as_of: date | None = None) -> tuple[Snapshot, date | None]:
    """The version of a table that readers of ``as_of`` (the newest if None) see, and that as_of."""
    ledger = Ledger(lake)
    days = ledger.published_days()
    day = as_of or (days[-1] if days else None)
    if as_of is not None and as_of not in days and contract(table).slice == "as_of":
        listed = ", ".join(map(str, days)) or "none"
        raise TableMissing(f"table {table}: nothing is published for as_of {as_of}; published are {listed}")
    return Snapshot(lake, table, ledger.published(day).get(table)), day


def figures(lake: str, as_of: date | None = None) -> dict[str, dict[str, Any]]:
    """Whether the published slices are whole: forecasts per series, list lengths per user."""
    found: dict[str, dict[str, Any]] = {}
    for table, measure in (("gold/forecasts", _forecasts), ("gold/recommendations", _recommendations)):
        if Snapshot.exists(lake, table):
            snapshot, day = published(lake, table, as_of)
            if day is not None:
                found[table] = {"as_of": day.isoformat(), **measure(snapshot, pc.field("as_of") == day)}
    if Snapshot.exists(lake, "gold/series") and "gold/forecasts" in found:
        day = date.fromisoformat(found["gold/forecasts"]["as_of"])
        active = (pc.field("as_of") == day) & (pc.field("status") == "active")
        found["gold/forecasts"]["active_series"] = Snapshot(lake, "gold/series").count(active)
    return found


def _forecasts(snapshot: Snapshot, where: pc.Expression) -> dict[str, Any]:
    columns = ["grain", "product_id", "store_id", "horizon", "q10", "q50", "q90", "mean"]
    rows = snapshot.arrow(columns, where & ~pc.field("cumulative"))
    per_series = rows.group_by(["grain", "product_id", "store_id"]).aggregate([("horizon", "count_distinct")])
    horizons = per_series["horizon_count_distinct"]
    crossed = pc.or_(pc.greater(rows["q10"], rows["q50"]), pc.greater(rows["q50"], rows["q90"]))
    return {
        "rows": rows.num_rows,
        "series": per_series.num_rows,
        "horizons_min": pc.min(horizons).as_py(),
        "horizons_max": pc.max(horizons).as_py(),
        "quantiles_crossed": int(pc.sum(crossed).as_py() or 0),
        "units_forecast": pc.sum(rows["mean"]).as_py(),
    }


def _recommendations(snapshot: Snapshot, where: pc.Expression) -> dict[str, Any]:
    rows = snapshot.arrow(["user_id", "product_id", "reason"], where)
    per_user = rows.group_by("user_id").aggregate([("product_id", "count_distinct"), ("product_id", "count")])
    reasons = rows["reason"].value_counts().to_pylist()
    return {
        "rows": rows.num_rows,
        "users": per_user.num_rows,
        "products_distinct_min": pc.min(per_user["product_id_count_distinct"]).as_py(),
        "products_distinct_max": pc.max(per_user["product_id_count_distinct"]).as_py(),
        "repeated_products": pc.sum(
            pc.subtract(per_user["product_id_count"], per_user["product_id_count_distinct"])
        ).as_py(),
        "reasons": {entry["values"]: entry["counts"] for entry in sorted(reasons, key=lambda e: -e["counts"])},
    }
