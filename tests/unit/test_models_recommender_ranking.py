"""Lists are always K distinct products on sale, in the order of their scores."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.models import candidates as candidate
from shelfcast.models import ranking
from shelfcast.models.candidates import Candidates, Outlook
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.item_search import ItemSearch
from shelfcast.models.ranker import Ranker
from shelfcast.models.ranking import Ranked
from shelfcast.models.rules import Allowed, Pairs, Rules

HALF_LIVES = [2.0, 16.0]


def shop(on_sale: list[bool], popularity: list[float] | None = None) -> Catalogue:
    size = len(on_sale)
    products = pa.array([f"p{code:03d}" for code in range(size)])
    sold = np.array(popularity if popularity is not None else np.arange(size, 0, -1), float)
    return Catalogue(products, sold, np.array(on_sale, bool), sold, sold / 4)


def bought(*users: list[int], day: int = 10) -> Histories:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    days = np.full(len(items), day, np.int32)
    return Histories(offsets, items, days, days.astype(np.int64), np.ones(len(items), bool))


def outlook(codes: list[int], scores: np.ndarray) -> Outlook:
    """Users who are given these scores [users, codes]."""
    table = np.eye(len(codes), max(scores.shape[1], 1), dtype=np.float32)
    return Outlook(ItemSearch(np.array(codes, np.int32), table), scores.astype(np.float32))


def listed(items: list[list[int]], bought_before: list[list[bool]] | None = None) -> Candidates:
    codes = np.array(items, np.int32)
    flags = np.array(bought_before, bool) if bought_before is not None else codes >= 0
    features = np.zeros(((codes >= 0).sum(), 1), np.float32)
    return Candidates(codes, features, flags, flags, np.zeros(codes.shape, np.float32))


def ranked(found: Candidates, scores: np.ndarray, popular: list[list[int]], k: int, sells: int = 10) -> Ranked:
    """Lists of users who never bought anything, of a shop that sells the codes below ``sells``."""
    users = len(popular)
    allowed = Allowed(Rules.none(users, sells), Histories.empty(users), np.ones(sells, bool), 20, 50)
    return ranking.rank(found, scores, np.array(popular, np.int32), np.arange(sells), k, allowed)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Catalogue, Histories, Outlook, int, int]:
    size = draw(st.integers(1, 25))
    on_sale = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    users = draw(st.lists(st.lists(st.integers(0, size - 1), max_size=15), min_size=1, max_size=5))
    known = [code for code in range(size) if on_sale[code] and draw(st.booleans())]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    scored = np.array([bool(user) and draw(st.booleans()) for user in users])
    seen = outlook(known, (rng.random((len(users), len(known))) + 0.1) * scored[:, None])
    return shop(on_sale), bought(*users), seen, draw(st.integers(1, 12)), draw(st.integers(1, 10))


@given(cases())
def test_every_list_is_k_distinct_products_on_sale(case: tuple[Catalogue, Histories, Outlook, int, int]) -> None:
    catalogue, histories, seen, k, most = case
    found = candidate.gather(histories, catalogue, 20, HALF_LIVES, most, seen)
    best = catalogue.best_sellers(len(catalogue))
    popular = np.repeat(best[None, :k], len(histories), 0)
    scores = np.random.default_rng(0).normal(size=found.items.shape)
    allowed = Allowed(Rules.none(len(histories), len(catalogue)), histories, catalogue.on_sale, 20, 50)
    lists = ranking.rank(found, scores, popular, best, k, allowed)
    whole = min(k, int(catalogue.on_sale.sum()))
    for row, items in enumerate(lists.items):
        real = items[items >= 0]
        assert len(real) == len(set(real.tolist())) == whole
        assert catalogue.on_sale[real].all()
        assert (np.diff(lists.scores[row, :whole]) <= 0).all()
        own = set(histories.items[histories.offsets[row] : histories.offsets[row + 1]].tolist())
        for item, reason in zip(real.tolist(), ranking.REASONS[lists.reasons[row, :whole]], strict=True):
            assert (reason == "repeat") == (item in own)


def test_candidates_are_what_was_touched_and_what_is_expected_next_but_never_off_sale() -> None:
    chances = np.array([[0.1, 0.2, 0.7]])
    found = candidate.gather(
        bought([0, 1, 2]), shop([True, False, True, True, True]), 20, HALF_LIVES, 5, outlook([0, 3, 4], chances)
    )
    assert sorted(found.items[0].tolist()) == [0, 2, 3, 4]
    assert {i for i, was in zip(found.items[0].tolist(), found.bought[0], strict=True) if was} == {0, 2}


def rows_of(found: Candidates, names: list[str]) -> dict[int, dict[str, float]]:
    """The first user's candidates by code."""
    own = found.features[: found.offsets[1]]
    return {int(item): dict(zip(names, row, strict=True)) for item, row in zip(found.items[0], own, strict=True)}


def test_shop_features_are_log_popularity_and_trend() -> None:
    found = candidate.gather(
        bought([0]), shop([True, True], [9.0, 3.0]), 20, HALF_LIVES, 5, outlook([1], np.array([[0.5]]))
    )
    rows = rows_of(found, candidate.names(HALF_LIVES, []))
    assert rows[0]["popularity"] == pytest.approx(np.log(10))
    assert rows[0]["trend"] == pytest.approx(np.log((9 / 4 + 0.25) / 10))
    assert (rows[0]["scored"], rows[0]["likelihood"]) == (0, 0)
    assert (rows[1]["scored"], rows[1]["likelihood"]) == (1, 0)
    assert (rows[1]["bought"], rows[1]["visits"]) == (0, pytest.approx(np.log(2)))


def test_likelihood_is_the_score_against_those_of_the_best_new_products() -> None:
    scores = np.array([[2.0, 1.0, 3.0, 0.5]])
    found = candidate.gather(bought([0]), shop([True] * 4), 20, HALF_LIVES, 2, outlook([0, 1, 2, 3], scores))
    rows = rows_of(found, candidate.names(HALF_LIVES, []))
    level = np.log((np.exp(1.0) + np.exp(3.0)) / 2)  # of the two that were found; what the user touched is not new
    assert {item: row["likelihood"] for item, row in rows.items()} == pytest.approx(
        {0: 2 - level, 1: 1 - level, 2: 3 - level}, abs=1e-5
    )
    assert dict(zip(found.items[0].tolist(), found.affinity[0].tolist(), strict=True)) == {0: 2, 1: 1, 2: 3}
    assert found.touched[0].tolist() == [True, False, False]


def test_a_user_without_a_sequence_has_no_new_candidates_and_no_likelihood() -> None:
    found = candidate.gather(
        bought([0], [1]), shop([True] * 3), 20, HALF_LIVES, 5, outlook([0, 1], np.array([[0, 0], [1, 2]]))
    )
    assert found.items.tolist() == [[0, -1], [1, 0]]
    assert found.affinity.tolist() == [[-np.inf, -np.inf], [2, 1]]
    names = candidate.names(HALF_LIVES, [])
    assert found.features[:, names.index("scored")].tolist() == [0, 1, 1]
    assert found.features[:, names.index("likelihood")].tolist() == [0, 1, 0]


def test_traits_of_products_reach_the_ranker_beside_how_overdue_they_are() -> None:
    usual = np.log1p(np.array([0.5, 4.0], np.float32))
    sold = replace(shop([True, True]), traits={"again": np.array([0.2, 0.7], np.float32), "usual_gap": usual})
    found = candidate.gather(bought([0], day=13), sold, 20, HALF_LIVES, 5, outlook([1], np.array([[0.5]])))
    rows = rows_of(found, candidate.names(HALF_LIVES, sold.traits))
    assert (rows[0]["again"], rows[1]["again"]) == pytest.approx((0.2, 0.7))
    assert rows[0]["overdue"] == pytest.approx(1 / 0.5, abs=1e-5)  # a week ago, usually half a week
    assert rows[1]["overdue"] == pytest.approx(5)  # never bought: as long ago as can be


def test_without_a_usual_time_nothing_is_overdue() -> None:
    found = candidate.gather(bought([0], day=13), shop([True]), 20, HALF_LIVES, 5, outlook([], np.zeros((1, 0))))
    assert found.features[0, candidate.names(HALF_LIVES, []).index("overdue")] == 0


def test_a_catalogue_keeps_its_traits_on_its_way_to_the_workers() -> None:
    sold = replace(shop([True, False]), traits={"again": np.array([0.2, 0.7], np.float32)})
    back = Catalogue.from_bytes(sold.to_bytes())
    assert back.traits["again"].tolist() == pytest.approx([0.2, 0.7])
    moved = back.on(pa.array(["p001", "new"]))
    assert moved.traits["again"].tolist() == pytest.approx([0.7, 0])
    chosen = back.with_traits(["missing", "again"])
    assert list(chosen.traits) == ["missing", "again"]
    assert chosen.traits["missing"].tolist() == [0, 0]


def test_only_the_strongest_touched_products_become_candidates() -> None:
    found = candidate.gather(
        bought([3, 1, 1, 2, 2, 2]), shop([True] * 4), 20, HALF_LIVES, 2, outlook([], np.zeros((1, 0)))
    )
    assert sorted(found.items[0].tolist()) == [1, 2]


def test_equal_scores_are_ordered_by_code_and_short_lists_filled_from_what_is_popular() -> None:
    found = listed([[4, 2, -1]], [[False, True, False]])
    lists = ranked(found, np.array([[1.0, 1.0, 9.0]]), [[5, 2, 9, 7]], 4)
    assert lists.items.tolist() == [[2, 4, 5, 9]]
    assert ranking.REASONS[lists.reasons[0]].tolist() == ["repeat", "novel", "popular", "popular"]


def test_a_user_without_candidates_is_given_what_is_popular() -> None:
    lists = ranked(listed([[]]), np.zeros((1, 0)), [[5, 2, 9, 7]], 2)
    assert lists.items.tolist() == [[5, 2]]
    assert (np.diff(lists.scores[0]) < 0).all()


def test_hits_are_what_was_bought_then_and_padding_is_none() -> None:
    then = bought([3], [])
    assert listed([[1, 3, -1], [3, -1, -1]]).hits(then).tolist() == [[False, True, False], [False, False, False]]


def test_ndcg_counts_hits_by_place_against_the_best_possible_order() -> None:
    values = ranking.ndcg(np.array([[1, 2, 3], [1, 2, 3]]), bought([3, 1, 8], []), 3)
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert values[0] == pytest.approx((1 + 1 / np.log2(4)) / best)
    assert np.isnan(values[1])


def test_without_a_learned_ranker_the_decayed_frequency_decides() -> None:
    found = candidate.gather(bought([0, 0, 1]), shop([True] * 3), 20, HALF_LIVES, 5, outlook([2], np.array([[1.0]])))
    scores = ranking.frequency(found, candidate.names(HALF_LIVES, []))[0]
    assert [int(found.items[0, c]) for c in np.argsort(-scores)] == [0, 1, 2]


def test_scores_of_unpadded_candidates_are_those_of_the_network() -> None:
    rng = np.random.default_rng(0)
    ranker = Ranker(rng.normal(size=7), rng.random(7) + 0.1)
    features = rng.normal(size=(20_000, 7)).astype(np.float32)
    assert np.allclose(ranker.scores(features), np.asarray(ranker(features)), atol=1e-5)
    assert np.array_equal(ranker.scores(features[:9]), ranker.scores(features)[:9])
    assert len(ranker.scores(features[:0])) == 0


def test_a_catalogue_survives_its_file_and_moves_to_other_codes() -> None:
    stored = Catalogue.from_bytes(shop([True, False]).to_bytes())
    moved = stored.on(pa.array(["a", "p000", "p001"]))
    assert moved.on_sale.tolist() == [False, True, False]
    assert moved.events.tolist() == [0, 2, 1]
    assert stored.ids(stored.codes(pa.array(["p001", "p000"]))).tolist() == ["p001", "p000"]
    assert stored.codes(pa.array(["p001", "x", None])).tolist() == [1, -1, -1]


def test_what_rules_bar_is_no_candidate_and_leaves_its_place_to_the_next() -> None:
    chances = np.array([[0.1, 0.2, 0.3, 0.4]] * 2)
    barred = Pairs.of(np.array([0, 0, 1]), np.array([1, 5, 2]), 6)
    found = candidate.gather(
        bought([0, 1], [0, 1]), shop([True] * 6), 20, HALF_LIVES, 2, outlook([2, 3, 4, 5], chances), barred
    )
    assert [sorted(row[row >= 0].tolist()) for row in found.items] == [[0, 3, 4], [0, 1, 4, 5]]
