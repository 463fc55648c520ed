"""Totals: products, categories, departments and the chain that add up, in pieces and in money, or nothing at all."""

from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError, TableMissing
from shelfcast.lake.tables import contract
from shelfcast.score import prices, totals

CONTEXT, HORIZON = 30, 2
AS_OF = date(2017, 11, 26)
STARTS = [AS_OF + timedelta(days=1), AS_OF + timedelta(days=8)]
SIDES = {"a": ("food", "dairy"), "b": ("food", "bread"), "c": ("home", "soap"), "d": (None, None)}
COSTS = {"a": 2.0, "b": 1.0, "c": 5.0}
MEANS = {"a": [10.0, 12.0], "b": [4.0, 4.0], "c": [0.5, 0.25], "d": [1.0, 1.0]}


def of_contract(spark, table, rows):
    promised = contract(table)
    return spark.createDataFrame([tuple(row.get(name) for name in promised.names()) for row in rows], promised.schema())


def forecast(product, means, grain="week.product", store="*"):
    shape = {"family": "zinb", "zero": 0.0, "mean": 1.0, "dispersion": 0.5}
    plain = {"as_of": AS_OF, "grain": grain, "product_id": product, "store_id": store, "model_version": "m"}
    plain |= {"q10": 0.0, "q50": 1.0, "q90": 3.0}
    both = [(False, h, mean) for h, mean in enumerate(means, 1)]
    both += [(True, h, float(mean)) for h, mean in enumerate(np.cumsum(means), 1)]
    return [
        plain
        | {"cumulative": c, "horizon": h, "mean": mean, "target_start": STARTS[0 if c else h - 1]}
        | {"distribution": shape | {"mean": max(mean, 0.1)}}
        for c, h, mean in both
    ]


def sale(product, weeks_ago, units, price, display=0.0):
    start = AS_OF + timedelta(days=1) - timedelta(weeks=weeks_ago)
    plain = {"grain": "week.product", "store_id": "*", "orders": 1.0, "mailer_share": 0.0}
    return plain | {
        "product_id": product, "period_start": start, "week_start": start, "units": units, "revenue": units * price,
        "price": price, "display_share": display,
    }  # fmt: skip


@pytest.fixture
def shop(spark, step, configured, window_table):
    """Four products, one without a department, at steady prices; `a` is displayed in the second week."""

    def make(*sets, stores=(), demand=None):
        rows = window_table(
            np.random.default_rng(0).poisson(3, (4, CONTEXT)),
            horizon=HORIZON,
            product_id=list(MEANS),
            department=[SIDES[p][0] for p in MEANS],
            category=[SIDES[p][1] for p in MEANS],
            display=list(np.float32([[0] * (CONTEXT + 1) + [1.0], *[[0] * (CONTEXT + 2)] * 3])),
        ).to_pylist()
        made = step(
            as_of=AS_OF,
            settings=configured(f"windows.horizon={HORIZON}", f"windows.context={CONTEXT}", "windows.stride=28", *sets),
        )
        made.replace("gold/windows", of_contract(spark, "gold/windows", rows), [AS_OF])
        sold = demand or [sale(p, w, 10.0, price) for p, price in COSTS.items() for w in range(1, 9)]
        made.replace("gold/demand", of_contract(spark, "gold/demand", sold), None)
        listed = [row for product, means in MEANS.items() for row in forecast(product, means)]
        made.replace("gold/forecasts", of_contract(spark, "gold/forecasts", [*listed, *stores]), [AS_OF])
        return made

    return make


def found(made, **where):
    rows = made.read("gold/totals")
    for name, value in where.items():
        rows = rows.where(F.col(name) == value)
    return rows.orderBy("level", *prices.GROUP, *prices.SERIES, "cumulative", "horizon").toPandas()


def test_every_level_sums_its_series_and_what_they_cost(shop):
    made = shop()
    outcome = totals.run(made)
    assert outcome.rows_out == made.read("gold/totals").count() == (1 + 3 + 4 + 4) * 2 * HORIZON
    chain = found(made, level="chain")
    assert chain["units"].tolist() == pytest.approx([15.5, 17.25, 15.5, 32.75])
    dairy = found(made, category="dairy", level="category")
    assert dairy["revenue"].tolist() == pytest.approx([20, 24, 20, 44], rel=1e-6)
    nameless = found(made, level="department", department="")
    assert nameless["units"].tolist() == pytest.approx([1, 1, 1, 2])
    assert nameless["revenue"][0] == pytest.approx(240 * 8 / 3 / (30 * 8), rel=0.2)  # at what all products cost


def test_a_promoted_week_costs_what_promoted_weeks_did_and_others_lean_on_their_category(spark, configured):
    sold = [sale("a", w, 10.0, 1.2 if w % 2 else 2.0, display=float(w % 2)) for w in range(1, 17)]
    sold += [sale("b", w, 10.0, 4.0) for w in range(1, 17)]
    series = spark.createDataFrame([(p, "*", "x", "y") for p in "abn"], [*prices.SERIES, *prices.GROUP])
    chosen = configured("totals.price_prior=0.001", "totals.promotion_prior=0.001").totals
    rows = prices.expected(of_contract(spark, "gold/demand", sold), series, AS_OF, 7, chosen)
    both = rows.select("product_id", prices.at_plan(F.lit(0.0)), prices.at_plan(F.lit(1.0)))
    found = {name: (plain, promoted) for name, plain, promoted in both.collect()}
    assert found["a"] == pytest.approx((2.0, 1.2), rel=0.01)
    assert found["b"] == pytest.approx((4.0, 2.4), rel=0.1)  # never promoted: its category's share of the price
    assert found["n"][0] == pytest.approx((1.6 + 4.0) / 2, rel=0.1)  # never sold: its category's price


def test_modelled_revenue_of_the_last_periods_is_what_was_paid(spark, configured):
    rng = np.random.default_rng(4)
    sold = [
        sale(f"p{n}", w, float(rng.poisson(4) + 1), float(rng.uniform(1, 3)), display=float(rng.random() < 0.3))
        for n in range(40)
        for w in range(1, 9)
    ]
    series = spark.createDataFrame([(f"p{n}", "*", "x", "y") for n in range(40)], [*prices.SERIES, *prices.GROUP])
    demand = of_contract(spark, "gold/demand", sold)
    rows = prices.expected(demand, series, AS_OF, 7, configured().totals)
    valued = demand.join(rows, [*prices.SERIES]).select(
        F.sum(F.col("units") * prices.at_plan(F.col("display_share"))).alias("modelled"), F.sum("revenue").alias("paid")
    )
    one = valued.first()
    assert one["modelled"] == pytest.approx(one["paid"], rel=1e-9)


def test_reconciled_products_and_their_stores_add_up_and_keep_their_quantiles(shop):
    grain = "week.product_store"
    stores = [*forecast("a", [3.0, 0.0], grain, "1"), *forecast("a", [1.0, 0.0], grain, "2")]
    made = shop("demand.grains=[week.product, week.product_store]", "totals.method=wls", stores=stores)
    totals.run(made)  # would raise if they did not add up
    product = found(made, level="product", product_id="a")
    assert product["units"][0] != pytest.approx(10.0, abs=1e-3)
    assert (product["q90"] == 3.0).all()
    rows = found(made, level="product_store", product_id="a")
    shares = [0.75, 0.5, 0.25, 0.5]  # alike where no store is forecast anything
    assert rows["store_id"].tolist() == ["1"] * 4 + ["2"] * 4
    single = rows[~rows["cumulative"]]["units"].to_numpy()
    assert single == pytest.approx(np.tile(product["units"][:2], 2) * shares)
    rest = found(made, level="product_store", product_id="b", cumulative=False)
    assert rest["store_id"].tolist() == ["*", "*"]


def test_a_sum_that_does_not_close_is_told_with_its_key_and_nothing_is_written(shop, monkeypatch):
    made = shop()
    stored = totals._levels
    wrong = {
        "level = 'category' AND category = 'soap'": ("units * 1.01", r"week category home soap|week department home"),
        "product_id = 'c' AND cumulative": ("units + 1", "week product home soap c"),
        "level = 'product' AND product_id = 'c'": ("-units", "week product home soap c"),
    }
    for place, (value, told) in wrong.items():
        changed = F.expr(f"CASE WHEN {place} THEN {value} ELSE units END")
        monkeypatch.setattr(totals, "_levels", lambda *given, c=changed: stored(*given).withColumn("units", c))
        with pytest.raises(ReconciliationError, match=told):
            totals.run(made)
    assert not made.has("gold/totals")


def test_nothing_forecast_is_told(shop):
    made = shop("demand.grains=[day.product]")
    with pytest.raises(TableMissing, match=r"nothing of day\.product"):
        totals.run(made)


def test_a_log_without_prices_has_units_and_no_revenue(shop):
    made = shop(demand=[sale("a", 1, 1.0, 0.0)])
    totals.run(made)
    rows = found(made, level="chain")
    assert rows["units"][0] == pytest.approx(15.5)
    assert rows["revenue"].isna().all()
    assert rows["revenue_q90"].isna().all()
