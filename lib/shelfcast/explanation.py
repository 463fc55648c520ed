"""``shelfcast explain``: what drove the published forecasts of one product, from the model that made them."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.box import SIMPLE
from rich.table import Table

from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake import overview
from shelfcast.lake.cutoffs import period_days
from shelfcast.lake.snapshot import Snapshot
from shelfcast.models import folder, window_tensors

ALL_STORES = "*"
_SHOWN = 0.005  # pieces; less would be printed as 0.00


def explain(
    lake: str, product_id: str, store_id: str = ALL_STORES, as_of: date | None = None, horizon: int | None = None
) -> dict[str, Any]:
    """Contributions to every horizon's mean, of every grain that forecasts the series.

    Args:
        as_of: of the forecasts; the newest published ones if None.
        horizon: only this one.

    Returns:
        lake, product_id, store_id, as_of and per grain and horizon: target_start, ``baseline`` (what would be forecast
        had nothing happened, see ``models.attribution``), ``contributions`` in pieces, ``settled`` (what the published
        mean adds to the model's: an ended listing) and ``forecast``, the published mean: the sum of all. ``error`` is
        what the contributions lacked before it was shared out among them.

    Raises:
        ConfigError: if there is no such forecast.
        TableMissing: if the series has never sold, so that no network made its forecast, or its window is gone.
    """
    snapshot, day = overview.published(lake, "gold/forecasts", as_of)
    if day is None:
        raise TableMissing(f"nothing is published in {lake}: run `shelfcast weekly` or `shelfcast score` first")
    where = _series(product_id, store_id) & (pc.field("as_of") == day) & ~pc.field("cumulative")
    columns = ["grain", "horizon", "target_start", "mean", "model_version"]
    rows = snapshot.arrow(columns, where).sort_by([("grain", "ascending"), ("horizon", "ascending")]).to_pylist()
    if not rows:
        raise ConfigError(
            f"gold/forecasts as of {day} has no series of product {product_id} in store {store_id}: "
            f"see `shelfcast show forecasts --where product_id=...`"
        )
    if horizon is not None and horizon not in {row["horizon"] for row in rows}:
        raise ConfigError(f"--horizon {horizon}: forecasts reach from 1 to {max(row['horizon'] for row in rows)}")
    explained = [
        one for grain in sorted({row["grain"] for row in rows})
        for one in _of_grain(lake, product_id, store_id, [row for row in rows if row["grain"] == grain])
        if horizon in (None, one["horizon"])
    ]  # fmt: skip
    return {"lake": lake, "product_id": product_id, "store_id": store_id, "as_of": day, "horizons": explained}


def _series(product_id: str, store_id: str) -> pc.Expression:
    return (pc.field("product_id") == product_id) & (pc.field("store_id") == store_id)


def _of_grain(lake: str, product_id: str, store_id: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    window = _window(lake, product_id, store_id, rows[0]["grain"], rows[0]["target_start"])
    from shelfcast.models import trained_forecaster
    from shelfcast.models.attribution import GROUPS, attributed

    model = trained_forecaster.load(folder.model_uri(lake, "forecaster", rows[0]["model_version"]))
    found = attributed(model, window)
    explained = []
    for place, row in enumerate(rows):
        parts = dict(zip(GROUPS, map(float, found.contributions[0, place]), strict=True))
        forecast, plain = float(found.forecast[0, place]), float(found.baseline[0, place])
        explained.append({
            "grain": row["grain"], "horizon": row["horizon"], "target_start": row["target_start"],
            "baseline": plain, "contributions": parts, "error": float(found.error[0, place]),
            "settled": row["mean"] - forecast, "forecast": row["mean"], "model_version": row["model_version"],
        })  # fmt: skip
    return explained


def _window(lake: str, product_id: str, store_id: str, grain: str, first: date) -> pa.Table:
    """The series' newest window before its first forecast period."""
    cutoff = first - timedelta(days=1)
    where = _series(product_id, store_id) & (pc.field("grain") == grain) & (pc.field("cutoff") == cutoff)
    found = Snapshot(lake, "gold/windows").arrow(window_tensors.COLUMNS, where)
    if not len(found):
        raise TableMissing(
            f"gold/windows has no {grain} of product {product_id} at cutoff {cutoff} "
            f"({period_days(grain)} days a period): build the features of that as-of again"
        )
    if not found["length"][0].as_py():
        raise TableMissing(
            f"product {product_id} has never sold in store {store_id}: its forecast comes from what products of its "
            f"kind sold at first (gold/launches), not from a network that could be explained"
        )
    return found


def shown(document: Mapping[str, Any]) -> Table:
    """A row per horizon: baseline, contributions with their sign, forecast; in pieces. Narrow enough for 80 columns."""
    where = "all stores" if document["store_id"] == ALL_STORES else f"store {document['store_id']}"
    rows = document["horizons"]
    table = Table(
        title=f"Product {document['product_id']}, {where}, as of {document['as_of']}: what drives the mean, in pieces",
        caption="Baseline: itself at its recent level, average price, no promotion, an ordinary calendar.",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    several = len({row["grain"] for row in rows}) > 1
    settled = any(abs(row["settled"]) >= _SHOWN for row in rows)
    heads = ("baseline", *rows[0]["contributions"], *(["settled"] if settled else []), "forecast")
    for head in (*(["grain"] if several else []), "h", "from", *heads):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        parts = [*row["contributions"].values(), *([row["settled"]] if settled else [])]
        table.add_row(
            *([row["grain"]] if several else []), str(row["horizon"]), row["target_start"].strftime("%d %b"),
            f"{row['baseline']:.2f}", *(f"{part:+.2f}" for part in parts), f"{row['forecast']:.2f}",
        )  # fmt: skip
    return table
