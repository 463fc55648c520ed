"""No inner product exceeds its bound, and bounds are near."""

import numpy as np
import pytest

from shelfcast.models import quantised

pytestmark = pytest.mark.skipif(not quantised.supported(), reason="the processor lacks AVX512-VNNI")


def bounds(users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, float]:
    """[users, items] bounds, asked for in two parts, and the largest norm."""
    block = np.zeros((-(-len(items) // quantised.TILE) * quantised.TILE, items.shape[1]), np.float32)
    block[: len(items)] = items
    found = quantised.Bounds(users, len(users), len(block))
    largest, half = found.visit(block, len(items)), len(users) // 2 + 1
    parts = [found.of(*part).copy() for part in ((0, half), (half, len(users)))]
    return np.concatenate(parts)[:, : len(items)], largest


def norms(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


@pytest.mark.parametrize("dim", [2, 3, 4, 5, 64, 65, 130, 385])
@pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e-12, 1.0, 1e12])
def test_no_product_exceeds_its_bound(dim: int, scale: float) -> None:
    rng = np.random.default_rng(dim)
    users, items = (rng.normal(size=(rows, dim)) * 10.0 ** rng.integers(-3, 3, (rows, 1)) for rows in (11, 150))
    items[:, -1] *= 100
    items[::7, :-1] = 0
    items[rng.random(items.shape) < 0.02] *= 1000
    users, items = (users * scale).astype(np.float32), items.astype(np.float32)
    found, largest = bounds(users, items)
    exact = users.astype(np.float64) @ items.T.astype(np.float64)
    assert largest == pytest.approx(norms(items).max())
    assert (exact <= found + (dim + 32) * 2.0**-22 * (norms(users)[:, None] + 2.0**-48) * norms(items)).all()


@pytest.mark.parametrize("dim", [64, 65, 385])
def test_bounds_are_near_whatever_the_biases(dim: int) -> None:
    rng = np.random.default_rng(dim)
    users, items = (rng.normal(size=(rows, dim)).astype(np.float32) for rows in (11, 150))
    found, _ = bounds(users, items)
    exact = users.astype(np.float64) @ items.T.astype(np.float64)
    assert (found - exact < 0.03 * norms(users)[:, None] * norms(items)).all()
    biased = items.copy()
    biased[:, -1] *= 1000
    shift = users[:, -1:].astype(np.float64) * (biased[:, -1] - items[:, -1])
    assert np.allclose(bounds(users, biased)[0] - shift, found, atol=1e-2)


def test_whole_numbers_have_their_products() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.integers(-127, 128, (rows, 66)).astype(np.float32) for rows in (6, 64))
    users[:, 0] = items[:, 0] = 127
    assert np.allclose(bounds(users, items)[0], users @ items.T, atol=1e-2)


def test_what_cannot_be_bounded_is_told() -> None:
    users, items = np.ones((2, 5), np.float32), np.ones((4, 5), np.float32)
    items[1, 2] = np.nan
    found, largest = bounds(users, items)
    assert np.isnan(found[:, 1]).all()
    assert np.allclose(found[:, [0, 2, 3]], 5)
    assert largest == pytest.approx(5**0.5)
    for value in (np.inf, -np.inf, 3e38):
        items[0, 4] = value
        assert bounds(users, items)[1] == np.inf
