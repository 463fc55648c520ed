"""What is said of items: words, their vectors, and the place of items without a history."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf

from shelfcast.models import candidates, folder, item_features
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.item_search import ItemSearch
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommender import Architecture, SequenceRecommender
from shelfcast.models.recommending import Recommender
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.models.sequences import Inputs

KINDS = ["brand", "price", "description", "category"]


def shop(**columns: list[object]) -> Catalogue:
    size = len(columns["product_id"])
    counts = {name: np.ones(size) for name in ("events", "popularity", "recent")}
    return Catalogue.from_table(pa.table({**counts, "on_sale": [True] * size, **columns}))


def teas() -> Catalogue:
    return shop(
        product_id=["e", "a", "b", "c", "d"],
        brand=["Y", "X", None, "X", "X"],
        description=["red", "red Tea!", "tea, tea - green", None, "Hot red tea"],
        price=np.log1p([0, 1, 2, 2.1, 1.9]).astype(np.float32).tolist(),
    )


def test_words_are_what_enough_known_products_share() -> None:
    found = item_features.vocabulary(teas(), KINDS, np.ones(5, bool))
    assert found.to_pylist() == ["brand=X", "description=red", "description=tea", "price=2"]
    without_a = item_features.vocabulary(teas(), KINDS, np.array([False, True, True, True, True]))
    assert without_a.to_pylist() == ["price=2"]
    assert len(item_features.vocabulary(teas(), [], np.ones(5, bool))) == 0


def test_a_product_has_the_words_that_are_said_of_it_on_any_days_catalogue() -> None:
    words = item_features.vocabulary(teas(), KINDS, np.ones(5, bool))
    said = item_features.columns(teas(), KINDS, words)
    named = {
        product: sorted(words[int(number) - 1].as_py() for number in row if number)
        for product, row in zip(teas().products.to_pylist(), said, strict=True)
    }
    assert named == {
        "a": ["brand=X", "description=red", "description=tea"],
        "b": ["description=tea", "price=2"],
        "c": ["brand=X", "price=2"],
        "d": ["brand=X", "description=red", "description=tea", "price=2"],
        "e": ["description=red"],
    }
    other = shop(product_id=["z", "new"], brand=["W", "X"], description=["Green", "TEA"])
    assert item_features.columns(other, KINDS, words).tolist() == [[1, 3], [0, 0]]  # "new" comes first
    again = Catalogue.from_bytes(teas().to_bytes()).on(pa.array(["d", "nobody"]))
    assert np.array_equal(item_features.columns(again, KINDS, words)[0], said[3])
    assert not item_features.columns(again, KINDS, words)[1].any()


def test_long_texts_are_cut() -> None:
    long = " ".join(f"word{number:03d}" for number in range(60))
    catalogue = shop(product_id=["a", "b", "c"], description=[long] * 3)
    words = item_features.vocabulary(catalogue, ["description"], np.ones(3, bool))
    assert len(words) == 60
    assert item_features.columns(catalogue, ["description"], words).tolist() == [list(range(1, 25))] * 3


def trained(identity_dropout: float) -> SequenceRecommender:
    """Of items 1 .. 8, the odd ones of word 1, the even ones of word 2, taken by users of either kind alone."""
    tf.keras.utils.set_random_seed(1)
    said = np.array([[1 + number % 2] for number in range(1, 9)], np.int32)
    shape = Architecture(8, "lstm", 8, 4, 8, 0.0, 0.1, bias=False, words=2, identity_dropout=identity_dropout)
    model = SequenceRecommender(shape, said)
    optimizer = tf.keras.optimizers.Adam(0.03)
    negatives = Negatives.mixed(np.ones(8), 0.5)
    rng = np.random.default_rng(0)
    for _ in range(80):
        kind = rng.integers(0, 2, (16, 1))
        taken = (2 * rng.integers(0, 4, (16, 5)) + 1 + kind).astype(np.int32)
        place = np.broadcast_to(np.arange(4, dtype=np.int32), (16, 4))
        with tf.GradientTape() as tape:
            loss, count = model.loss_sum(taken[:, :4], taken[:, :4] * 0, taken[:, 1:], place, *negatives.draw(rng, 32))
            loss = loss / count
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        pairs = [(g, v) for g, v in zip(gradients, model.trainable_variables, strict=True) if g is not None]
        optimizer.apply_gradients(pairs)
    return model


def test_an_item_without_history_lies_where_its_words_are() -> None:
    model = trained(0.3)
    odd = np.array([[1, 3, 5], [2, 4, 6]], np.int32)
    users = model.users(Inputs(odd, odd * 0))
    vectors, bias = model.newcomers(np.array([[2], [1], [0]], np.int32))
    scores = users @ vectors[:2].T
    assert scores[0, 0] > scores[0, 1] + 2  # logits: item 1 and its like are of word 2
    assert scores[1, 1] > scores[1, 0] + 2
    assert np.isnan(vectors[2]).all()
    assert bias.tolist() == [0, 0, 0]


def test_the_bias_of_an_item_without_history_is_that_of_no_events() -> None:
    model = SequenceRecommender(
        Architecture(2, "lstm", 4, 3, 8, 0.0, 0.1, bias=True, words=1), np.ones((2, 1), np.int32)
    )
    model.start_from_popularity(np.array([1.0, 3.0]))
    _, known = model.scoring()
    _, new = model.newcomers(np.ones((1, 1), np.int32))
    assert np.allclose(known - new[0], np.log([2, 4]), atol=1e-6)


def test_new_products_are_searched_beside_known_ones() -> None:
    rng = np.random.default_rng(3)
    table, more = rng.normal(size=(3000, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32)
    codes = rng.permutation(3040)
    users = rng.normal(size=(20, 8)).astype(np.float32)
    search = ItemSearch(codes, table, np.arange(3040), more)
    every = np.empty((20, 3040), np.float32)
    every[:, codes] = users @ np.concatenate([table, more]).T
    found = search.best(users, 7)
    assert np.array_equal(found.codes, np.argsort(-every, axis=1)[:, :7])
    pairs = np.arange(20).repeat(3040), np.tile(np.arange(3040), 20)
    assert np.allclose(search.scores(users, *pairs), every.ravel(), atol=1e-5)


def test_a_stored_recommender_offers_what_came_after_its_training(tmp_path: Path) -> None:
    known = shop(product_id=[f"p{n}" for n in range(8)], brand=["even", "odd"] * 4)
    words = item_features.vocabulary(known, ["brand"], np.ones(8, bool))
    config = {
        "encoder": "lstm", "members": 2, "dim": 8, "units": 4, "dropout": 0.0, "temperature": 0.1, "item_bias": False,
        "half_lives": [4.0], "traits": [], "groups": ["brand"], "candidates": 20, "max_length": 8, "history": 50,
        "wanted": ["purchase"], "event_types": ["purchase"], "item_features": ["brand"], "words": 2,
    }  # fmt: skip
    said = item_features.columns(known, ["brand"], words)
    ensemble = SequenceEnsemble.build(config, 8, said)
    width = len(candidates.names([4.0], [], ["brand"]))
    model = Recommender(config, known.products, ensemble, Ranker(np.zeros(width), np.ones(width)), said=words)
    folder.publish(str(tmp_path / "m"), model.files())

    later = shop(product_id=[f"p{n}" for n in range(9)] + ["q"], brand=[*["even", "odd"] * 4, "odd", None])
    did = Histories(np.array([0, 1]), np.array([1]), np.array([5]), np.array([5]), np.ones(1, bool))
    ((_, found),) = Recommender.load(str(tmp_path / "m")).candidates(did, later, 9)
    by_code = dict(zip(found.items[0].tolist(), found.affinity[0].tolist(), strict=True))
    assert set(by_code) == set(range(9))  # nothing is said of q
    user = ensemble.users(Inputs(np.array([[2]], np.int32), np.ones((1, 1), np.int32)))
    expected = user @ ensemble.newcomers(np.array([[2]], np.int32))[0].T
    assert np.isclose(by_code[8], expected.item(), atol=1e-5)
