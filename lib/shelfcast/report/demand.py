"""Demand so far, what is forecast, and what then happened: in total and for a few series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shelfcast.report.products import Product, products
from shelfcast.report.reader import Reader, among
from shelfcast.report.truth import Series, Truth
from shelfcast.settings import Settings

CANDIDATES = 500  # series looked at when a few are chosen
_BAND = ("q10", "q50", "q90", "mean")
HISTORY = 104  # periods of the total's history


@dataclass(frozen=True)
class Outlook:
    """History and forecast of one line; lists run beside ``periods`` or ``targets``.

    ``truth`` holds None where a period has not arrived; ``promoted`` lists the periods with a planned promotion.
    """

    periods: list[date]
    units: list[float]
    targets: list[date]
    q10: list[float]
    q50: list[float]
    q90: list[float]
    mean: list[float]
    truth: list[float | None]
    promoted: list[date] = field(default_factory=list)
    product: Product | None = None
    store_id: str = "*"
    why: str = ""

    @property
    def error(self) -> float:
        """Sum of |truth - median| over what has arrived."""
        return sum(abs(t - q) for t, q in zip(self.truth, self.q50, strict=True) if t is not None)


@dataclass(frozen=True)
class Frame:
    """The grain, cutoff and target periods that the page speaks of."""

    grain: str
    as_of: date
    targets: list[date]

    @property
    def days(self) -> int:
        return 7 if self.grain.startswith("week") else 1

    @property
    def unit(self) -> str:
        return "week" if self.days == 7 else "day"

    @property
    def first(self) -> date:
        """Start of horizon 1."""
        return self.targets[0] if self.targets else self.as_of + timedelta(days=1)

    def forecasts(self) -> pc.Expression:
        # A comparison with False matches nothing where a file's statistics span both values; the negation is right.
        single = ~pc.field("cumulative")
        return (pc.field("as_of") == self.as_of) & (pc.field("grain") == self.grain) & single


def frame(reader: Reader, settings: Settings, as_of: date) -> Frame:
    """The first configured grain and the periods that were forecast at ``as_of`` (none if nothing was)."""
    bare = Frame(settings.demand.grains[0], as_of, [])
    starts = reader.sums("gold/forecasts", ["target_start"], [], bare.forecasts())
    return Frame(bare.grain, as_of, starts["target_start"].to_pylist())


def total(reader: Reader, at: Frame, truth: Truth) -> Outlook | None:
    """All series together; None if no demand has been written."""
    since = at.first - timedelta(days=HISTORY * at.days)
    past = (
        (pc.field("grain") == at.grain)
        & (pc.field("week_start") >= since - timedelta(days=6))
        & (pc.field("period_start") >= since)
        & (pc.field("period_start") < at.first)
    )
    history = reader.sums("gold/demand", ["period_start"], ["units"], past)
    if history.num_rows == 0:
        return None
    ahead = _chain(reader, at)
    return Outlook(
        periods=history["period_start"].to_pylist(), units=history["units"].to_pylist(),
        targets=at.targets, **{name: ahead[name].to_pylist() for name in _BAND},
        truth=[truth.total.get(start) for start in at.targets],
    )  # fmt: skip


def _chain(reader: Reader, at: Frame) -> pa.Table:
    """The chain by period, from gold/totals; without it sums of the series' own quantiles, far too wide a band."""
    here = (pc.field("as_of") == at.as_of) & (pc.field("period") == at.grain.partition(".")[0])
    columns = ["target_start", "q10", "q50", "q90", "units"]
    found = reader.rows("gold/totals", columns, here & (pc.field("level") == "chain") & ~pc.field("cumulative"))
    if found.num_rows != len(at.targets):
        return reader.sums("gold/forecasts", ["target_start"], list(_BAND), at.forecasts())
    return found.rename_columns([*columns[:-1], "mean"]).sort_by("target_start")


def chosen(reader: Reader, settings: Settings, at: Frame, truth: Truth) -> list[Outlook]:
    """Top sellers, the most promoted among them, and intermittent series: a third of ``report.series`` each."""
    share = max(settings.report.series // 3, 1)
    active = (pc.field("as_of") == at.as_of) & (pc.field("grain") == at.grain) & (pc.field("status") == "active")
    names = ["product_id", "store_id", "units"]
    sellers = _series(reader.top("gold/series", names, "units", CANDIDATES, active).to_pylist())
    half = settings.windows.context // 2
    rare = (
        active
        & (pc.field("first_sale") <= at.first - timedelta(days=half * at.days))
        & (pc.field("sale_periods") <= half * 0.35)
        & (pc.field("last_sale") >= at.first - timedelta(days=13 * at.days))
    )
    groups = {
        "Top seller": sellers,
        "Promotion planned": _promoted(reader, at, sellers),
        "Sells now and then": _series(reader.top("gold/series", names, "units", 4 * share, rare).to_pylist()),
    }
    why: dict[Series, str] = {}
    for label, members in groups.items():
        fresh = [series for series in members if series not in why]
        why.update(dict.fromkeys(fresh[:share], label))
    return _outlooks(reader, at, truth, why)


def worst(reader: Reader, settings: Settings, at: Frame, truth: Truth) -> list[Outlook]:
    """The series with the largest absolute error of the median; empty while no truth has arrived.

    An error of e units needs a truth or a forecast of at least e in some period, so the largest of both are looked at.
    """
    if not truth.total:
        return []
    names = ["product_id", "store_id", "horizon", "q50"]
    forecast = _series(reader.top("gold/forecasts", names, "q50", CANDIDATES, at.forecasts()).to_pylist())
    candidates = dict.fromkeys([*truth.largest(CANDIDATES), *forecast], "Largest error")
    ranked = sorted(_outlooks(reader, at, truth, candidates, history=False), key=lambda one: -one.error)
    best = {(one.product.product_id, one.store_id): one.why for one in ranked if one.product and one.error > 0}
    return _outlooks(reader, at, truth, dict(list(best.items())[: max(settings.report.series // 3, 1)]))


def _series(rows: Iterable[dict[str, Any]]) -> list[Series]:
    return list(dict.fromkeys((row["product_id"], row["store_id"]) for row in rows))


def _promoted(reader: Reader, at: Frame, candidates: Sequence[Series]) -> list[Series]:
    """Those with plans in the forecast periods, the widest plans first."""
    where = (
        (pc.field("grain") == at.grain)
        & among("period_start", at.targets)
        & among("product_id", sorted({product for product, _ in candidates}))
    )
    plans: dict[Series, float] = {}
    for row in reader.rows("gold/covariates", ["product_id", "store_id", "display", "mailer"], where).to_pylist():
        key = (row["product_id"], row["store_id"])
        plans[key] = plans.get(key, 0.0) + (row["display"] or 0.0) + (row["mailer"] or 0.0)
    known = set(candidates)
    return sorted((key for key, plan in plans.items() if plan > 0 and key in known), key=lambda key: (-plans[key], key))


def _outlooks(
    reader: Reader, at: Frame, truth: Truth, why: dict[Series, str], *, history: bool = True
) -> list[Outlook]:
    """One outlook per series of ``why`` that has a forecast, in its order."""
    here = among("product_id", sorted({product for product, _ in why}))
    values = ["q10", "q50", "q90", "mean"]
    columns = ["product_id", "store_id", "target_start", *values]
    ahead = _by_series(reader.rows("gold/forecasts", columns, at.forecasts() & here).to_pylist())
    past = _windows(reader, at, here) if history else {}
    sold = truth.per_series({product for product, _ in why})
    names = products(reader, {product for product, _ in why}) if why else {}
    found = []
    for series in (key for key in why if key in ahead):
        rows = {row["target_start"]: row for row in ahead[series]}
        targets = [start for start in at.targets if start in rows]
        units, promoted = past.get(series, ([], []))
        found.append(
            Outlook(
                periods=[at.first - timedelta(days=at.days * i) for i in range(len(units), 0, -1)],
                units=units,
                targets=targets,
                **{name: [rows[start][name] for start in targets] for name in values},
                truth=[sold.get((*series, start), 0.0) if start in truth.total else None for start in targets],
                promoted=promoted,
                product=names[series[0]],
                store_id=series[1],
                why=why[series],
            )
        )
    return found


def _by_series(rows: Iterable[dict[str, Any]]) -> dict[Series, list[dict[str, Any]]]:
    grouped: dict[Series, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["product_id"], row["store_id"]), []).append(row)
    return grouped


def _windows(reader: Reader, at: Frame, here: pc.Expression) -> dict[Series, tuple[list[float], list[date]]]:
    """Units of the real part of each window, and the periods with a planned promotion, beyond the cutoff too."""
    where = (pc.field("grain") == at.grain) & (pc.field("cutoff") == at.first - timedelta(days=1)) & here
    columns = ["product_id", "store_id", "length", "units", "display", "mailer"]
    found = {}
    for row in reader.rows("gold/windows", columns, where).to_pylist():
        context, length = len(row["units"]), row["length"]
        plans = [max(pair) for pair in zip(row["display"], row["mailer"], strict=True)]
        promoted = [i for i, plan in enumerate(plans) if plan > 0.05 and i >= context - length]
        dates = [at.first + timedelta(days=at.days * (i - context)) for i in promoted]
        found[row["product_id"], row["store_id"]] = (row["units"][context - length :], dates)
    return found
