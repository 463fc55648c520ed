"""Totals that add up: two passes over a tree equal the dense formula, and sums have honest spreads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.models import reconciliation
from shelfcast.models.reconciliation import Estimate


@st.composite
def trees(draw):
    """(levels, parents): 2 to 4 levels, every node with at least one child, inner nodes with or without a forecast."""
    sizes = [1]
    parents = []
    for _ in range(draw(st.integers(1, 3))):
        children = draw(st.lists(st.integers(1, 3), min_size=sizes[-1], max_size=sizes[-1]))
        parents.append(np.repeat(np.arange(sizes[-1]), children))
        sizes.append(sum(children))
    levels = []
    for depth, size in enumerate(sizes):
        leaf = depth == len(sizes) - 1
        mean = np.array(draw(st.lists(st.floats(0, 100), min_size=size, max_size=size)))[:, None]
        spread = st.floats(0.1, 50) if leaf else st.one_of(st.floats(0.1, 50), st.just(np.inf))
        levels.append(Estimate(mean, np.array(draw(st.lists(spread, min_size=size, max_size=size)))[:, None]))
    return levels, parents


def dense(levels, parents):
    """S (S'W⁻¹S)⁻¹ S'W⁻¹ ŷ, nodes without a forecast having no weight."""
    leaves = len(levels[-1].mean)
    rows = [np.eye(leaves)]
    for parent, level in zip(reversed(parents), reversed(levels[:-1]), strict=True):
        rows.insert(0, reconciliation.summed(rows[0], parent, len(level.mean)))
    s = np.concatenate(rows)
    weight = 1 / np.concatenate([level.variance[:, 0] for level in levels])
    given_ = np.concatenate([level.mean[:, 0] for level in levels])
    best = np.linalg.solve(s.T @ (weight[:, None] * s), s.T @ (weight * given_))
    return np.split(s @ best, np.cumsum([len(level.mean) for level in levels])[:-1])


@given(trees())
def test_two_passes_equal_the_dense_formula(tree):
    found = reconciliation.reconciled(*tree)
    for ours, theirs in zip(found, dense(*tree), strict=True):
        assert ours[:, 0] == pytest.approx(theirs, rel=1e-6, abs=1e-6)


@given(trees())
def test_every_level_sums_the_one_below(tree):
    levels, parents = tree
    found = reconciliation.reconciled(levels, parents)
    for above, below, parent in zip(found[:-1], found[1:], parents, strict=True):
        assert reconciliation.summed(below, parent, len(above)) == pytest.approx(above, abs=1e-6)


def test_what_adds_up_already_stays():
    leaves = Estimate(np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [2.0], [3.0]]))
    root = Estimate(np.array([[7.0]]), np.array([[0.5]]))
    found = reconciliation.reconciled([root, leaves], [np.zeros(3, int)])
    assert found[1] == pytest.approx(leaves.mean)


def test_leaves_that_are_sure_share_a_gain_alike_and_never_divide_by_zero():
    leaves = Estimate(np.zeros((2, 1)), np.zeros((2, 1)))
    root = Estimate(np.array([[6.0]]), np.array([[1.0]]))
    found = reconciliation.reconciled([root, leaves], [np.zeros(2, int)])
    assert found[0].item() == found[1].sum() == 0.0  # parts known for sure outweigh any forecast of their sum


def test_the_correlation_that_made_the_totals_is_found_again():
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(4000, 5, 1)), rng.normal(size=(4000, 5, 40))
    drawn = np.sqrt(0.2) * common + np.sqrt(0.8) * own  # [draws, groups, series]
    parts, spreads = drawn.var(0).sum(-1), drawn.std(0).sum(-1)
    assert reconciliation.correlation(drawn.sum(-1).var(0), parts, spreads) == pytest.approx(0.2, abs=0.02)
    assert reconciliation.correlation(np.array([1.0]), np.array([1.0]), np.array([1.0])) == 0.0  # one part: no pairs


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 10))
def test_quantiles_of_sums_are_ordered_and_hold_the_mean_s_neighbourhood(mean, relative):
    variance = np.array([(relative * mean) ** 2 + mean])
    counts = reconciliation.count_quantiles(np.array([mean]), variance)[0]
    money = reconciliation.amount_quantiles(np.array([mean]), variance)[0]
    for low, middle, high in (counts, money):
        assert 0 <= low <= middle <= high < np.inf


def test_nothing_sold_has_no_spread():
    none = np.zeros(1)
    assert reconciliation.count_quantiles(none, none).tolist() == [[0, 0, 0]]
    assert reconciliation.amount_quantiles(none, none).tolist() == [[0, 0, 0]]


def test_a_large_total_s_band_is_the_normal_one():
    low, middle, high = reconciliation.amount_quantiles(np.array([1e5]), np.array([1e6]))[0]
    assert (low, middle, high) == pytest.approx((1e5 - 1281.6, 1e5, 1e5 + 1281.6), rel=1e-4)
