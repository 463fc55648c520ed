"""The search finds what brute force finds, whatever is masked, tied, missing or given twice."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shelfcast.models import item_search, quantised
from shelfcast.models.item_search import Best, ItemSearch, Masked


def use(bounds: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(item_search, "_FEW", 0 if bounds == "quantised" else 1 << 62)


@pytest.fixture(autouse=True, params=["quantised", "products"])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "quantised" and not quantised.supported():
        pytest.skip("the processor lacks AVX512-VNNI")
    use(request.param, monkeypatch)


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


KINDS = ["normal", "tied", "clustered", "biased", "outlying", "zero", "mixed", "tiny", "huge"]


def vectors(kind: str, rows: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    found = rng.normal(size=(rows, dim))
    if kind == "tied":
        found = rng.integers(-1, 2, (rows, dim))
    elif kind == "clustered":
        found = rng.normal(size=(5, dim))[rng.integers(0, 5, rows)] + rng.choice([0, 1e-6], (rows, 1)) * found
    elif kind == "biased":
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        found[:, -1] = 30 * rng.normal(size=rows) if rows > 100 else 1
    elif kind == "outlying":
        found[rng.random((rows, dim)) < 0.01] *= 1000
    elif kind == "zero":
        found[rng.random(rows) < 0.5] = 0
        found[: rows // 4, :-1] = 0
    elif kind == "mixed":  # from denormal numbers to products that are not finite
        found *= 10.0 ** rng.integers(-44, 38, (rows, 1))
        found[rng.random(rows) < 0.02, -1] = np.nan
        found[rng.random(rows) < 0.02, 0] = np.inf
        found[0], found[1] = 0, np.nan
    return (found * {"tiny": 1e-30, "huge": 1e15}.get(kind, 1)).astype(np.float32)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("dim", [1, 3, 64, 65, 130, 385])
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_come_first_of_all_that_are_scored(kind: str, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(dim)
    items, users = vectors(kind, 1500, dim, rng), vectors(kind, 7, dim, rng)
    search, masked = ItemSearch(np.arange(1500), items), flat([rng.integers(0, 1500, 50).tolist() for _ in users])
    everything = search.best(users, 1500, masked)  # no bar rises
    with np.errstate(invalid="ignore"):
        exact = users.astype(np.float64) @ items.T.astype(np.float64)
        lengths = (np.linalg.norm(vectors.astype(np.float64), axis=1) for vectors in (users, items))
        margin = 1e-5 * np.outer(*lengths)
    for row, (codes, scores) in enumerate(zip(everything.codes, everything.scores, strict=True)):
        own = codes[codes >= 0]
        assert len(set(own.tolist())) == len(own)
        assert (np.lexsort((own, -scores[: len(own)])) == np.arange(len(own))).all()
        assert not np.isin(own, masked[1][masked[0][row] : masked[0][row + 1]]).any()
        if kind != "mixed":
            assert len(own) >= 1450
            assert (np.abs(exact[row, own] - scores[: len(own)]) <= margin[row, own] + 1e-37).all()
    for k in (1, 10, 100):
        found = search.best(users, k, masked)
        assert same(found, Best(everything.codes[:, :k], everything.scores[:, :k]))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_is_found_from_either_bounds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    search, users = ItemSearch(np.arange(5000), vectors(kind, 5000, 33, rng)), vectors(kind, 70, 33, rng)
    found = search.best(users, 20)
    use("products", monkeypatch)
    assert same(found, search.best(users, 20))


def test_what_is_masked_is_not_found_where_bounds_say_nothing() -> None:
    items = np.array([[1, 1], [2, 2], [np.inf, 1], [3, 3]], np.float32)
    users = np.array([[0, 0], [1, 1], [1e30, 1]], np.float32)
    found = ItemSearch(np.arange(4), items).best(users, 3, flat([[0, 2], [2], [1, 2]]))
    assert found.codes.tolist() == [[1, 3, -1], [3, 1, 0], [3, 0, -1]]


def test_a_processor_without_the_instruction_multiplies_with_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "supported", lambda: False)
    monkeypatch.setattr(quantised, "Bounds", None)
    users, items = numbers(users=100)
    assert (ItemSearch(np.arange(len(items)), items).best(users, 5).codes >= 0).all()


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
