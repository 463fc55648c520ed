"""Totals are measured level by level: errors of products cancel in their category, revenue counts money."""

import pandas as pd
import pytest

from shelfcast.evaluate import totals
from shelfcast.evaluate.forecast_metrics import MODEL


def cells(revenue_sold=20.0):
    """Two categories at one horizon: tea forecast 6 of 10 sold, milk 14 of 10; averages 10 and 20."""
    rows = [("food", "tea", 1, 6.0, 10.0, 10.0), ("food", "milk", 1, 14.0, 10.0, 20.0)]
    made = pd.DataFrame(rows, columns=["department", "category", "horizon", "units", "units_sold", "units_average"])
    for kind in ("", "_sold", "_average"):
        made[f"revenue{kind}"] = 2 * made[f"units{kind}"] * (revenue_sold / 20.0 if kind == "_sold" else 1.0)
    return made.assign(units_error=4.0, units_average_error=5.0, revenue_error=9.0, revenue_average_error=10.0)


def bands():
    plain = {"department": "food", "horizon": 1, "revenue_q10": 0.0, "revenue_q90": 1000.0}
    return pd.DataFrame(
        [
            plain | {"level": "category", "category": "tea", "q10": 4.0, "q90": 9.0},
            plain | {"level": "category", "category": "milk", "q10": 9.0, "q90": 19.0},
            plain | {"level": "chain", "category": "*", "department": "*", "q10": 15.0, "q90": 25.0},
        ]
    )


def found(**changed):
    return {(f.model, f.metric, f.segment): f.value for f in totals.measured(cells(**changed), bands())}


def test_errors_of_categories_cancel_in_the_chain():
    values = found()
    assert values[MODEL, "total_wape", "level=category"] == pytest.approx(8 / 20)
    assert values[MODEL, "total_wape", "level=chain"] == 0.0
    assert values[totals.AVERAGE, "total_wape", "level=chain"] == pytest.approx(10 / 20)
    assert values[totals.AVERAGE, "total_bias", "level=category"] == pytest.approx(10 / 20)


def test_products_revenue_is_measured_by_their_own_errors():
    values = found()
    assert values[MODEL, "revenue_wape", "level=product"] == pytest.approx(18 / 40)
    assert values[MODEL, "revenue_wape", "level=category"] == pytest.approx(16 / 40)


def test_bands_are_counted_where_the_truth_lay_within():
    values = found()
    assert values[MODEL, "total_coverage", "level=category"] == 0.5
    assert values[MODEL, "total_coverage", "level=chain"] == 1.0


def test_a_log_without_prices_has_no_figures_of_revenue():
    assert not [metric for _, metric, _ in found(revenue_sold=0.0) if metric.startswith("revenue")]
