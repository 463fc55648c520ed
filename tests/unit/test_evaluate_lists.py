"""Figures of ranked lists follow from sums over users; an interval says how sure a difference is."""

import numpy as np
import pandas as pd
import pytest

from shelfcast.evaluate.als import Items, best
from shelfcast.evaluate.bootstrap import mean_intervals
from shelfcast.evaluate.list_metrics import Sums, figures
from shelfcast.evaluate.purchases import BUCKETS


def bucketed(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and users of buckets that users fall into by chance, a column each."""
    buckets = np.random.default_rng(seed).integers(0, BUCKETS, len(values))
    sums = np.stack([np.bincount(buckets, column, BUCKETS) for column in values.T], 1)
    users = np.bincount(buckets, minlength=BUCKETS)[:, None].repeat(values.shape[1], 1)
    return sums, users


@pytest.mark.parametrize("users", [400, 20_000])
def test_an_interval_is_as_wide_as_the_spread_of_users_says_however_they_fill_the_buckets(users: int) -> None:
    random = np.random.default_rng(1)
    values = np.stack([random.normal(0.02, 0.2, users), random.exponential(1, users)], 1)
    means, low, high = mean_intervals(*bucketed(values, 2), seed=3)
    assert means == pytest.approx(values.mean(0))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std(0) / users**0.5, rel=0.12)


def test_a_clear_difference_excludes_zero_and_chance_does_not() -> None:
    random = np.random.default_rng(5)
    ours, worse, alike = (random.random(3000) < share for share in (0.4, 0.3, 0.4))
    apart = np.stack([ours * 1.0 - worse, ours * 1.0 - alike, ours * 1.0 - ours], 1)
    _, low, high = mean_intervals(*bucketed(apart, 6), seed=7)
    assert low[0] > 0.05
    assert low[1] < 0 < high[1]
    assert (low[2], high[2]) == (0, 0)


USERS = pd.DataFrame(
    [("all", 0, 3), ("all", 9, 1), ("novel=true", 0, 2), ("history=1-9", 9, 1)], columns=["segment", "bucket", "users"]
)
FOUND = pd.DataFrame(
    [
        ("recommender", "all", 0, 1.5, 1.2, 1.0), ("recommender", "all", 9, 0.5, 0.4, 1.0),
        ("recommender", "history=1-9", 9, 0.5, 0.4, 1.0), ("recommender_novel", "novel=true", 0, 0.6, 0.5, 0.4),
        ("habits", "all", 0, 1.0, 1.4, 1.0), ("als", "all", 0, 0.8, 0.7, 1.0), ("als_novel", "all", 0, 3.0, 3.0, 3.0),
        ("als_novel", "novel=true", 0, 0.2, 0.2, 0.2),
    ],
    columns=["model", "segment", "bucket", "recall", "ndcg", "mrr"],
)  # fmt: skip
MODELS = ["recommender", "recommender_novel", "habits", "als", "als_novel"]


def test_ours_is_compared_with_the_best_of_the_others_by_each_metric_and_lists_of_new_products_among_themselves() -> (
    None
):
    spread = {"als": {"coverage": 0.2, "novelty": 3.0}}
    found = {(f.model, f.metric, f.segment): f for f in figures(Sums.of(USERS, FOUND, MODELS), spread, 10, seed=1)}
    recall, ndcg = found["recommender", "recall@10", "all"], found["recommender", "ndcg@10", "all"]
    assert (recall.value, recall.baseline) == (pytest.approx(2 / 4), "habits")
    assert found["recommender", "lift_recall@10", "all"].value == pytest.approx(2 / 1 - 1)
    assert (ndcg.value, ndcg.baseline) == (pytest.approx(1.6 / 4), "habits")
    assert found["recommender", "recall@10_difference", "all"].value == pytest.approx((2 - 1) / 4)
    assert found["recommender", "recall@10_interval_low", "all"].baseline == "habits"
    novel = found["recommender_novel", "recall@10", "novel=true"]
    assert (novel.value, novel.baseline) == (pytest.approx(0.3), "als_novel")
    assert {segment for model, _, segment in found if model.endswith("_novel")} == {"novel=true"}
    assert found["als", "novelty@10", "all"].value == 3.0


def test_a_model_that_found_nothing_scores_nothing_and_parts_have_the_metrics_that_mean_something() -> None:
    found = {(f.model, f.metric, f.segment): f.value for f in figures(Sums.of(USERS, FOUND, MODELS), {}, 10, seed=1)}
    assert found["als", "recall@10", "history=1-9"] == 0
    assert found["recommender", "recall@10", "novel=true"] == 0
    assert found["recommender", "lift_recall@10", "history=1-9"] is None
    assert ("recommender", "mrr@10", "all") in found
    assert ("recommender", "mrr@10", "history=1-9") not in found


def test_factors_rank_any_item_or_new_ones_and_equal_scores_by_number() -> None:
    items = Items(np.array([3, 5, 8]), np.array(["a", "b", "c"], object), np.float32([[2, 0], [0, 1], [0, 1]]))
    users = pd.DataFrame(
        {
            "user_id": ["u", "v"],
            "features": [np.float32([1, 1]), np.float32([0, 1])],
            "items": [np.array([3, 4]), np.array([3, 5, 8, 99])],
        }
    )
    found = best(users, items, k=2)
    lists = {key: list(part["product_id"]) for key, part in found.groupby(["user_id", "novel"])}
    assert lists == {("u", False): ["a", "b"], ("v", False): ["b", "c"], ("u", True): ["b", "c"]}  # v has all
    assert list(found["rank"]) == [1, 2] * 3
