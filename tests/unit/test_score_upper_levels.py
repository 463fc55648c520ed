"""Categories, departments and the chain on the driver: they add up by either method, and bands follow the past."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.score import upper_levels

HORIZON, CONTEXT = 3, 40


def sums(names, units, price=2.0):
    """Rows of single horizons and of their sums for categories ``names`` with ``units`` [categories, horizon]."""
    rows = []
    for (department, category), values in zip(names, units, strict=True):
        both = [(False, h, value) for h, value in enumerate(values, 1)]
        both += [(True, h, value) for h, value in enumerate(np.cumsum(values), 1)]
        for cumulative, horizon, value in both:
            start = date(2024, 1, 1) if cumulative else date(2024, 1, 7 * horizon - 6)
            spread = (4 * value, 4 * np.sqrt(value))  # of 4 series each as variable as a Poisson one
            money = (value * price, 4 * value * price**2, 4 * np.sqrt(value) * price)
            rows.append((department, category, horizon, cumulative, start, value, *spread, *money))
    columns = ("department", "category", "horizon", "cumulative", "target_start", "units", "variance", "deviation")
    return pd.DataFrame(rows, columns=[*columns, "revenue", "revenue_variance", "revenue_deviation"])


def past(names, seed=0, common=0.0):
    """Sales of every category over the context; ``common`` is how strongly all of them move together."""
    rng = np.random.default_rng(seed)
    moves = np.exp(common * rng.normal(size=CONTEXT))
    units = [rng.poisson(50 * moves).astype(float) for _ in names]
    named = pd.DataFrame(names, columns=["department", "category"])
    return named.assign(length=CONTEXT, units=units, parts=50.0, spreads=2 * np.sqrt(50.0))


def level(found, name, cumulative=False):
    return found[(found["level"] == name) & (found["cumulative"] == cumulative)]


@st.composite
def shops(draw):
    departments = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    names = [(f"d{d}", f"c{c}") for d, count in enumerate(departments) for c in range(count)]
    one = st.lists(st.floats(0, 1e4), min_size=HORIZON, max_size=HORIZON)
    return names, np.array([draw(one) for _ in names])


@given(shops(), st.sampled_from(["bottom_up", "wls"]), st.integers(0, 5))
def test_all_levels_add_up_and_never_fall_below_zero(shop, method, seed):
    names, units = shop
    found = upper_levels.rows(sums(names, units), past(names, seed), method)
    for value in ("units", "revenue"):
        wide = {name: level(found, name).pivot_table(values=value, index="department", columns="horizon", aggfunc="sum")
                for name in ("chain", "department", "category")}  # fmt: skip
        assert wide["category"].to_numpy(float) == pytest.approx(wide["department"].to_numpy(float), rel=1e-9, abs=1e-6)
        chain = wide["department"].sum().to_numpy(float)
        assert wide["chain"].to_numpy(float)[0] == pytest.approx(chain, rel=1e-9, abs=1e-6)
        summed = level(found, "chain", True).sort_values("horizon")[value].to_numpy(float)
        assert summed == pytest.approx(np.cumsum(chain), rel=1e-9, abs=1e-6)
    assert (found[["units", "revenue", "q10", "revenue_q10"]].to_numpy(float) >= 0).all()
    assert (found["q10"] <= found["q50"]).all()
    assert (found["q50"] <= found["q90"]).all()


def test_bottom_up_leaves_every_sum_as_it_is():
    names = [("food", "tea"), ("food", "milk")]
    found = upper_levels.rows(sums(names, [[1.0, 2, 3], [10, 20, 30]]), past(names), "bottom_up")
    assert level(found, "chain")["units"].tolist() == [11, 22, 33]
    assert level(found, "category", True)["units"].tolist() == [10, 30, 60, 1, 3, 6]
    assert level(found, "chain")["revenue"].tolist() == [22, 44, 66]
    assert set(level(found, "category")["factor"]) == {1.0}


def test_wls_moves_every_category_towards_its_own_past():
    names = [("food", "tea"), ("food", "milk")]
    found = upper_levels.rows(sums(names, [[90.0] * 3, [50.0] * 3]), past(names), "wls")
    tea = level(found, "category").set_index("category").loc["tea"]
    assert tea["units"].between(45, 89).all()
    assert tea["factor"].astype(float).to_numpy() == pytest.approx(tea["units"].to_numpy(float) / 90)


def test_categories_that_moved_together_widen_the_chain_s_band():
    names = [(f"d{n % 3}", f"c{n}") for n in range(9)]
    given_ = sums(names, [[50.0] * 3] * 9)
    apart, together = (
        level(upper_levels.rows(given_, past(names, 1, common), "bottom_up"), "chain").iloc[0] for common in (0.0, 0.3)
    )
    assert together["units"] == apart["units"] == 450
    assert together["q90"] - together["q10"] > 1.5 * (apart["q90"] - apart["q10"])


def test_without_prices_there_is_no_revenue_and_without_a_past_still_a_band():
    names = [("food", "tea")]
    new = past(names).assign(length=2)
    found = upper_levels.rows(sums(names, [[5.0] * 3], price=np.nan), new, "bottom_up")
    assert found["revenue"].isna().all()
    assert found["revenue_q90"].isna().all()
    assert (found["q90"] > found["q10"]).all()


def test_smoothing_follows_a_level_and_knows_how_wrong_it_was():
    totals = np.array([[10.0] * 30, [0.0, 20.0] * 15])
    found = upper_levels.smoothed(totals, 2)
    assert found.mean[0] == pytest.approx([10, 10])
    assert found.variance[0] == pytest.approx([0, 0])
    assert found.variance[1] == pytest.approx([100, 100], rel=0.3)
