"""The best keys are selected whatever they are, and are scores and places."""

import numpy as np
import pytest

from shelfcast.models import reservoir


@pytest.mark.parametrize("spread", [1, 40, 2**20, 2**62])
def test_enough_of_the_largest_are_left_in_front(spread: int) -> None:
    rng = np.random.default_rng(spread % 97)
    for size, count in ((1, 1), (2, 1), (5, 5), (90, 10), (300, 100)):
        keys = np.unique(rng.integers(-spread, spread, size)) if spread > 1000 else np.arange(size) - spread
        rng.shuffle(keys)
        ordered = np.sort(keys)[::-1].copy()
        for most in (count, count + count // 8, 2 * count):
            own = keys.copy()
            kept, least = reservoir._lead(own, len(own), count, most)
            assert min(count, len(own)) <= kept <= most
            assert sorted(own[:kept].tolist(), reverse=True) == ordered[:kept].tolist()
            assert ordered[kept - 1] >= least > (ordered[kept] if kept < len(own) else least - 1)


def test_keys_are_ordered_by_score_then_by_place() -> None:
    scores = np.array([[3, 1, 3, -2, -0.0, 0]], np.float32).T
    items = np.zeros((64, 1), np.float32)
    items[:6] = scores
    bounds, best = np.full((1, 64), -np.inf, np.float32), np.zeros((1, reservoir.room(6)), np.int64)
    bounds[0, :6] = 9
    sizes, bars = np.zeros(1, np.int64), np.full(1, -np.inf, np.float32)
    reservoir.keep(bounds, np.zeros(1, np.float32), np.ones((1, 1), np.float32), items, 100, best, sizes, bars)
    found = np.sort(best[0, : sizes[0]])[::-1]
    assert reservoir.places(found).tolist() == [100, 102, 101, 104, 105, 103]
    assert reservoir.values(found).tolist() == [3, 3, 1, 0, 0, -2]
