"""Tiny lakes for the report: rows by contract, written without Spark."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from shelfcast.config import load
from shelfcast.lake.commits import commit, newest
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.step import Outcome, Step
from shelfcast.lake.store import Lake
from shelfcast.report.page import Facts
from shelfcast.report.run import gather
from shelfcast.settings import Settings

AS_OF = date(2024, 3, 3)  # a Sunday
TARGETS = [AS_OF + timedelta(days=1 + 7 * i) for i in range(4)]
ARRIVAL = {"source": "shop", "ingest_id": "shop.sales.1", "ingested_at": datetime(2024, 4, 1, tzinfo=UTC)}
SERIES = {"grain": "week.product", "store_id": "*"}
SHOP = {
    "sources.shop.root": "/nowhere",
    "sources.shop.inputs.sales": {
        "files": ["sales.csv"], "format": "csv", "fills": "events",
        "columns": {"user_id": "customer", "product_id": "sku", "quantity": "pieces", "event_time": "at"},
        "rules": {"gift_cards": {"refuses": "gift cards & vouchers", "when": "product_id = 'gift'"}},
        "identities": {"phone": "hash"},
    },
}  # fmt: skip


def put(lake: Path, table: str, *rows: dict[str, Any]) -> None:
    """Append rows; columns that are left out are null."""
    assert commit(newest(str(lake), table), rows, "append")


def settings(lake: Path, **sections: dict[str, Any]) -> Settings:
    """The default configuration with one source, ``shop``; keywords change values of a section."""
    base = load(lake=str(lake)).settings
    shop = {"inputs": {"sales": SHOP["sources.shop.inputs.sales"]}}
    changed = base.model_dump() | {"sources": {"shop": shop}}
    for section, values in sections.items():
        changed[section] = changed[section] | values
    return Settings.model_validate(changed)


def event(product: str, day: date, **changed: Any) -> dict[str, Any]:
    """One piece sold."""
    week = day - timedelta(days=day.weekday())
    plain = {
        "event_id": f"{product}-{day}-{sorted(changed.items())}", "event_type": "purchase", "user_id": "u1",
        "event_time": datetime(day.year, day.month, day.day, tzinfo=UTC), "event_date": day, "week_start": week,
        "product_id": product, "store_id": "1", "quantity": 1.0, **ARRIVAL,
    }  # fmt: skip
    return plain | changed


def product(product_id: str, **words: str) -> dict[str, Any]:
    return {"product_id": product_id, **words, **ARRIVAL}


def demand(product_id: str, period: date, units: float) -> dict[str, Any]:
    plain = {"period_start": period, "week_start": period, "orders": 1.0, "revenue": units}
    return SERIES | plain | {"product_id": product_id, "units": units}


def series(product_id: str, units: float, **changed: Any) -> dict[str, Any]:
    plain = {
        "as_of": AS_OF, "first_sale": date(2023, 3, 6), "last_sale": AS_OF, "sale_periods": 50, "status": "active",
    }  # fmt: skip
    return SERIES | plain | {"product_id": product_id, "units": units} | changed


def forecasts(product_id: str, q50: float) -> list[dict[str, Any]]:
    """Four weeks with the same quantiles around ``q50``."""
    shape = {"family": "zinb", "zero": 0.0, "mean": q50, "dispersion": 0.5}
    plain = {
        "as_of": AS_OF,
        "cumulative": False,
        "distribution": shape,
        "model_version": "m1",
        "product_id": product_id,
    }
    levels = {"q10": q50 / 2, "q50": q50, "q90": q50 * 2, "mean": q50 + 0.5}
    return [SERIES | plain | levels | {"target_start": day, "horizon": i} for i, day in enumerate(TARGETS, start=1)]


def window(product_id: str, units: list[float], promoted: tuple[int, ...] = ()) -> dict[str, Any]:
    """A window whose context is the length of ``units``; ``promoted`` are positions with a display."""
    n = len(units)
    ahead = ("display_main", "mailer", "mailer_main", "holiday", "month_start", "year_phase")
    plain = {"cutoff": AS_OF, "bucket": 0, "age": n, "length": n, "units": units, "product_id": product_id}
    back = {name: [0.0] * n for name in ("orders", "price", "discount")} | {"available": [1.0] * n, "listed": 4}
    plans = {name: [0.0] * (n + 4) for name in ahead} | {"display": [float(i in promoted) for i in range(n + 4)]}
    return SERIES | plain | back | plans


def place(user: str, rank: int, product_id: str, reason: str = "repeat") -> dict[str, Any]:
    plain = {"as_of": AS_OF, "score": 1.0, "model_version": "m2"}
    return plain | {"user_id": user, "rank": rank, "product_id": product_id, "reason": reason}


def refused(position: str, rules: list[str], record: str) -> dict[str, Any]:
    plain = {"source": "shop", "input": "sales", "file": "sales.csv", "ingest_id": "shop.sales.1"}
    return plain | {"position": position, "rules": rules, "record": record}


def metric(model: str, name: str, value: float, segment: str = "all", baseline: str | None = None) -> dict[str, Any]:
    plain = {"as_of": AS_OF, "model_version": "m1", "run_id": "run"}
    return plain | {"model": model, "metric": name, "segment": segment, "value": value, "baseline": baseline}


def ran(lake: Path, step: str, slice_: str, outcome: Outcome, run_id: str = "run") -> None:
    """A finished attempt in the ledger."""
    ledger = Ledger(str(lake))
    record = ledger.start(run_id, step, slice_, "print")
    ledger.finish(record, step_of(lake, run_id), outcome)


def step_of(lake: Path, run_id: str = "run", **given: Any) -> Step:
    """A step whose Spark must not be touched."""

    def never() -> Any:
        raise AssertionError("the report must not start Spark")

    return Step(
        lake=Lake(never, str(lake)), settings=settings(lake), as_of=AS_OF, run_id=run_id, attempt=1,
        say=lambda _: None, **given,
    )  # fmt: skip


def facts(lake: Path, **sections: dict[str, Any]) -> Facts:
    return gather(str(lake), settings(lake, **sections), AS_OF, "run", {})
