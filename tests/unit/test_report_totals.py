"""The page's totals: a band that is not the sum of all series' own, revenue, and the largest categories."""

from datetime import date
from pathlib import Path
from typing import Any

from report_lake import AS_OF, TARGETS, demand, facts, forecasts, put

from shelfcast.report.page import render

WEEK = date(2024, 2, 26)


def total(level: str, units: float, horizon: int, category: str = "*", **changed: Any) -> dict[str, Any]:
    plain = {
        "as_of": AS_OF, "period": "week", "level": level, "department": "*", "category": category, "product_id": "*",
        "store_id": "*", "horizon": horizon, "cumulative": False, "target_start": TARGETS[horizon - 1],
        "units": units, "q10": units - 2, "q50": units, "q90": units + 2,
    }  # fmt: skip
    money = {"revenue": 3 * units, "revenue_q10": 3 * units - 5, "revenue_q90": 3 * units + 5}
    return plain | money | changed


def with_forecasts(lake: Path) -> None:
    put(lake, "gold/demand", demand("a", WEEK, 1.0))
    put(lake, "gold/forecasts", *forecasts("a", 50.0), *forecasts("b", 50.0))


def test_the_chain_s_band_is_its_own_and_revenue_and_categories_are_told(tmp_path: Path) -> None:
    with_forecasts(tmp_path)
    chain = [total("chain", 100.0 + h, h) for h in (4, 2, 3, 1)]
    summed = [
        total("category", units, 4, name, cumulative=True, target_start=TARGETS[0])
        for name, units in (("tea", 30.0), ("milk & more", 380.0))
    ]
    put(tmp_path, "gold/totals", *chain, *summed, total("category", 1e6, 4, "tea"))
    found = facts(tmp_path)
    assert found.total is not None
    assert (found.total.q10, found.total.mean) == ([99.0, 100.0, 101.0, 102.0], [101.0, 102.0, 103.0, 104.0])
    assert [one.revenue for one in found.totals.chain] == [303.0, 306.0, 309.0, 312.0]
    assert [(one.name, one.units) for one in found.totals.categories] == [("milk & more", 380.0), ("tea", 30.0)]
    page = render(found)
    assert "with 80 % probability" in page
    assert "milk &amp; more" in page
    assert ">1,140<" in page


def test_a_lake_without_totals_shows_the_sums_of_the_series_and_says_so(tmp_path: Path) -> None:
    with_forecasts(tmp_path)
    found = facts(tmp_path)
    assert found.total is not None
    assert found.total.q90 == [200.0] * 4
    page = render(found)
    assert "all series ran high or low together" in page
    assert "Largest categories" not in page


def test_a_log_without_prices_has_no_revenue_on_the_page(tmp_path: Path) -> None:
    with_forecasts(tmp_path)
    nothing = {"revenue": None, "revenue_q10": None, "revenue_q90": None}
    put(tmp_path, "gold/totals", *[total("chain", 10.0, h, **nothing) for h in (1, 2, 3, 4)])
    assert "Revenue" not in render(facts(tmp_path))
