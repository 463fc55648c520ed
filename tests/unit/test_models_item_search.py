"""The search finds what brute force finds, whatever is masked, tied, missing or given twice."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shelfcast.models import item_search
from shelfcast.models.item_search import Best, ItemSearch, Masked


def brute_force(codes: list[int], vectors: np.ndarray, users: np.ndarray, k: int, *masked: list[list[int]]) -> Best:
    """Every score of every user, sorted; of equal codes the first counts."""
    first = {code: row for row, code in reversed(list(enumerate(codes)))}
    found = Best(np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32))
    for row, user in enumerate(users.astype(np.float64)):
        left = [code for code in sorted(first) if not any(code in own[row] for own in masked)]
        scores = {code: float(user @ vectors[first[code]]) for code in left}
        for place, code in enumerate(sorted(left, key=lambda c: (-scores[c], c))[:k]):
            found.codes[row, place], found.scores[row, place] = code, scores[code]
    return found


def flat(own: list[list[int]]) -> Masked:
    offsets = np.concatenate([[0], np.cumsum([len(codes) for codes in own])])
    return offsets, np.array([code for codes in own for code in codes], np.int64)


def same(found: Best, expected: Best) -> bool:
    return np.array_equal(found.codes, expected.codes) and np.array_equal(found.scores, expected.scores)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], np.ndarray, np.ndarray, int, list[list[int]], list[list[int]]]:
    """Small whole numbers as vectors: their products are exact, and many are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    items, users, dim = draw(st.integers(0, 300)), draw(st.integers(0, 7)), draw(st.integers(1, 5))
    codes = rng.integers(0, draw(st.sampled_from([items + 1, 2 * items + 1])), items).tolist()
    vectors = rng.integers(-2, 3, (items, dim)).astype(np.float32)
    asked = rng.integers(-2, 3, (users, dim)).astype(np.float32)
    masks = [
        [rng.integers(0, items + 5, draw(st.sampled_from([0, 1, 9, 900]))).tolist() for _ in range(users)]
        for _ in range(2)
    ]
    return codes, vectors, asked, draw(st.sampled_from([1, 3, 10, 70, 400])), *masks


@pytest.mark.parametrize("sizes", [(64, 2, 1 << 26), (128, 3, 1), (1024, 256, 1 << 26)])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(case=cases())
def test_the_best_are_those_of_brute_force(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int, int],
    case: tuple[list[int], np.ndarray, np.ndarray, int, list[list[int]], list[list[int]]],
) -> None:  # fmt: skip
    for name, size in zip(("_ITEMS", "_USERS", "_RUNNING"), sizes, strict=True):
        monkeypatch.setattr(item_search, name, size)
    codes, vectors, users, k, *masked = case
    found = ItemSearch(np.array(codes, np.int64), vectors).best(users, k, *(flat(own) for own in masked))
    assert same(found, brute_force(codes, vectors, users, k, *masked))


def numbers(users: int = 300, items: int = 5000, dim: int = 33) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(users, dim)).astype(np.float32), rng.normal(size=(items, dim)).astype(np.float32)


def test_the_best_of_real_numbers_have_the_largest_products() -> None:
    users, items = numbers()
    found = ItemSearch(np.arange(len(items)), items).best(users, 150)
    exact = users.astype(np.float64) @ items.T
    assert np.allclose(found.scores, -np.sort(-exact, 1)[:, :150], atol=1e-4)
    assert np.allclose(np.take_along_axis(exact, found.codes, 1), found.scores, atol=1e-4)
    assert all(len(set(own)) == 150 for own in found.codes.tolist())


def test_what_a_user_gets_does_not_depend_on_who_else_asks() -> None:
    users, items = numbers(users=259)
    search, masked = ItemSearch(np.arange(len(items)), items), flat([[user, user + 1] for user in range(259)])
    together = search.best(users, 20, masked)
    for row in (0, 128, 258):
        alone = search.best(users[[row]], 20, flat([[row, row + 1]]))
        assert same(alone, Best(together.codes[[row]], together.scores[[row]]))


def test_a_user_who_has_seen_nearly_everything_gets_the_rest() -> None:
    users, items = numbers(users=2, items=100_010, dim=3)
    seen = np.delete(np.arange(100_010), np.arange(5, 100_010, 10_001)).tolist()
    found = ItemSearch(np.arange(100_010), items).best(users, 20, flat([seen, []]))
    assert sorted(found.codes[0, :10].tolist()) == list(range(5, 100_010, 10_001))
    assert found.codes[0, 10:].tolist() == [-1] * 10
    assert (found.codes[1] >= 0).all()


def test_rows_of_a_table_are_searched_where_they_lie(tmp_path: Path) -> None:
    users, items = numbers()
    np.save(tmp_path / "items.npy", items)
    table = np.load(tmp_path / "items.npy", mmap_mode="r")
    rows = np.array([4000, 7, 2500])
    found = ItemSearch(np.array([3, 8, 5]), table, rows).best(users, 2)
    assert np.array_equal(found.codes, ItemSearch(np.array([3, 8, 5]), items[rows]).best(users, 2).codes)


def test_only_what_is_allowed_is_searched() -> None:
    users, items = numbers()
    allowed = np.arange(5000) % 7 == 3
    found = ItemSearch(np.flatnonzero(allowed), items, np.flatnonzero(allowed)).best(users, 30)
    assert same(found, ItemSearch(np.flatnonzero(allowed), items[allowed]).best(users, 30))


def test_an_item_without_numbers_is_never_found() -> None:
    items = np.array([[1.0], [np.nan], [2.0]], np.float32)
    found = ItemSearch(np.arange(3), items).best(np.ones((2, 1), np.float32), 3)
    assert found.codes.tolist() == [[2, 0, -1]] * 2


def test_scores_of_chosen_pairs_are_inner_products() -> None:
    users = np.array([[1, 2], [3, 0]], np.float32)
    search = ItemSearch(np.array([9, 4]), np.array([[5, 6], [7, 8]], np.float32))
    found = search.scores(users, np.array([0, 1, 1, 0]), np.array([9, 4, 3, 70]))
    assert found.tolist() == [17, 21, -np.inf, -np.inf]
    assert ItemSearch(np.zeros(0, int), np.zeros((0, 2))).scores(users, np.array([0]), np.array([9])) == -np.inf
