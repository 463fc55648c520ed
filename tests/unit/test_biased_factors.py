"""Explicit ratings as biases and factors, and the files they come in."""

from pathlib import Path

import numpy as np
import pytest

from shelfcast.errors import SourceError
from shelfcast.models.biased_factors import Options, Ratings, fit
from shelfcast.ratings_bench import ratings, read


def planted(count: int = 6000, noise: float = 0.3) -> Ratings:
    """Ratings of 120 users and 80 items that follow from biases and two factors."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 120, count), rng.integers(0, 80, count)
    biases = rng.normal(0, 0.5, 120)[users] + rng.normal(0, 0.5, 80)[items]
    factors = np.einsum("pf,pf->p", rng.normal(0, 0.8, (120, 2))[users], rng.normal(0, 0.8, (80, 2))[items])
    values = 3 + biases + factors + rng.normal(0, noise, count)
    return Ratings(users.astype(np.int32), items.astype(np.int32), values)


def test_factors_find_what_biases_cannot() -> None:
    found = planted()
    held = np.arange(len(found)) % 5
    training, validation, test = found.part(held > 1), found.part(held == 1), found.part(held == 0)
    whole = fit(training, validation, 120, 80, 1, Options(factors=4, factor_shrinkage=0.02))
    biases = fit(training, validation, 120, 80, 1, Options(factors=0))
    assert whole.rmse(test) < 0.7 * biases.rmse(test)
    assert whole.rmse(test) < 0.55  # 0.3 of it is noise
    assert biases.rmse(test) < test.values.std()


def test_who_never_rated_gets_what_the_item_says() -> None:
    found = planted()
    known = found.part(found.users > 0)
    model = fit(known, known, 120, 80, 1)
    expected = np.clip(model.mean + model.item_bias, model.lowest, model.highest)
    assert model.user_bias[0] == 0
    assert np.allclose(model.predict(np.zeros(80, np.int32), np.arange(80)), expected)


def test_the_same_seed_gives_the_same_model() -> None:
    found = planted(500)
    first, second = (fit(found, found, 120, 80, 7, Options(epochs=3)) for _ in range(2))
    assert np.array_equal(first.item_factors, second.item_factors)


def test_nothing_to_learn_from_is_refused() -> None:
    nothing = planted(10).part(np.zeros(10, bool))
    with pytest.raises(ValueError, match="ratings to learn from"):
        fit(nothing, planted(10), 120, 80, 1)


def test_a_file_may_begin_with_names(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(
        "user,item,rating,time\n" + "".join(f"u{n % 3},i{n % 4},{n % 5},9\n" for n in range(12))
    )
    found, users, items = read(tmp_path / "r.csv")
    assert (len(found), users, items) == (12, 3, 4)
    assert found.values[:3].tolist() == [0, 1, 2]
    document = ratings(tmp_path / "r.csv", 1, final=True).document
    assert set(document["rivals"]) == {"mean", "biases"}
    assert document["split"] == "test"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,1\n" * 9 + "a,b,good\n", "line 10: 'good' is no rating"),
        ("a,b,1\n", "too few"),
        ("a b\n", "user, item, rating"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(SourceError) as refused:
        read(tmp_path / "r.csv")
    assert message in str(refused.value)
