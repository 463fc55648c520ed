"""The recommender as a whole: stored, loaded, asked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest

from shelfcast.errors import ContractError, ModelError
from shelfcast.models import candidates, folder
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommending import Recommender, vocabulary
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.models.sequences import Sequences
from shelfcast.train import peers_fit, regression_fit
from shelfcast.train.collective import Collective

CONFIG = {
    "encoder": "lstm", "members": 1, "dim": 4, "units": 3,
    "dropout": 0.0, "temperature": 0.1, "item_bias": True, "half_lives": [2.0, 16.0],
    "traits": [], "groups": [], "candidates": 5, "max_length": 4, "history": 50,
    "wanted": ["purchase"], "event_types": ["purchase"],
}  # fmt: skip


def shop(size: int = 30) -> Catalogue:
    sold = np.arange(size, 0, -1).astype(float)
    on_sale = np.arange(size) % 5 > 0
    return Catalogue(pa.array([f"p{code:03d}" for code in range(size)], pa.string()), sold, on_sale, sold, sold)


def people(users: int = 700) -> Histories:
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 9, users)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    days = np.concatenate([np.sort(rng.integers(1, 90, size)) for size in sizes]).astype(np.int32)
    items = rng.integers(0, 30, offsets[-1]).astype(np.int32)
    return Histories(offsets, items, days, days.astype(np.int64), rng.random(offsets[-1]) < 0.8)


def recommender() -> Recommender:
    """With all that it may consist of; a ranker of chance heeds every feature."""
    known = pa.array([f"p{code:03d}" for code in range(3, 30)])
    width = len(candidates.names(CONFIG["half_lives"], []))
    keras.utils.set_random_seed(0)
    model = Recommender(
        CONFIG, known, SequenceEnsemble.build(CONFIG, len(known)), Ranker(np.zeros(width), np.ones(width))
    )
    options: Any = SimpleNamespace(half_lives=CONFIG["half_lives"], peers=9, predictors=6)
    had = (people(), model.words(shop()), len(known), 100, options, 1, Collective())
    model.peers, model.regression = peers_fit.fit(*had), regression_fit.fit(*had)
    return model


def popular(users: int, k: int) -> np.ndarray:
    return np.repeat(shop().best_sellers(2 * k)[None], users, 0)


def test_a_stored_recommender_gives_the_same_lists(tmp_path: Path) -> None:
    model, uri = recommender(), str(tmp_path / "models" / "recommender" / "v1")
    folder.publish(uri, model.files())
    found = Recommender.load(uri).recommend(people(), shop(), 100, popular(700, 3), 3)
    own = model.recommend(people(), shop(), 100, popular(700, 3), 3)
    assert np.array_equal(found.items, own.items)
    assert np.array_equal(found.reasons, own.reasons)
    assert np.allclose(found.scores, own.scores, atol=1e-5)


def test_a_user_in_a_batch_gets_the_list_it_gets_alone() -> None:
    model, everyone = recommender(), people()
    together = model.recommend(everyone, shop(), 100, popular(700, 3), 3)
    for row in (0, 5, 511, 512, 699):
        alone = model.recommend(everyone.users(np.array([row])), shop(), 100, popular(1, 3), 3)
        assert alone.items[0].tolist() == together.items[row].tolist()
        assert np.allclose(alone.scores[0], together.scores[row], atol=1e-5)


def test_a_ranker_that_was_taught_other_features_is_refused(tmp_path: Path) -> None:
    model = recommender()
    model.ranker = Ranker(np.zeros(5), np.ones(5))
    folder.publish(str(tmp_path / "v1"), model.files())
    with pytest.raises(ModelError, match=r"v1: its ranker was taught 5 features of a candidate, .* train again"):
        Recommender.load(str(tmp_path / "v1"))


def test_what_peers_take_and_what_items_foretell_bears_on_lists() -> None:
    model, everyone = recommender(), people()
    whole = model.recommend(everyone, shop(), 100, popular(700, 3), 3).scores
    for part in ("peers", "regression"):
        without = recommender()
        setattr(without, part, None)
        assert not np.allclose(without.recommend(everyone, shop(), 100, popular(700, 3), 3).scores, whole, atol=1e-3)


def test_candidates_of_all_sources_are_distinct_on_sale_and_told_apart() -> None:
    model, everyone, catalogue = recommender(), people(), shop()
    model.config = {**CONFIG, "candidates": 2}
    sizes = set()
    for rows, found in model.candidates(everyone, catalogue, 100):
        for row, user in enumerate(range(rows.start, rows.stop)):
            items = found.items[row][found.items[row] >= 0]
            own = set(everyone.items[everyone.offsets[user] : everyone.offsets[user + 1]].tolist())
            assert len(set(items.tolist())) == len(items) == np.diff(found.offsets)[row]
            assert catalogue.on_sale[items].all()
            assert [item in own for item in items.tolist()] == found.touched[row, : len(items)].tolist()
            sizes.add(len(items) - int(found.touched[row].sum()))
    assert max(sizes) == 4  # two that the sequence model expects, two that peers took: no neighbours were learnt


def test_nothing_outside_a_users_newest_history_counts() -> None:
    model = recommender()
    model.config = {**CONFIG, "history": 3}
    everyone = people()
    long = model.recommend(everyone, shop(), 100, popular(700, 3), 3)
    cut = model.recommend(everyone.latest(3), shop(), 100, popular(700, 3), 3)
    assert np.array_equal(long.items, cut.items)


def test_a_user_with_a_hundred_thousand_events_gets_a_whole_list_as_does_the_next_one() -> None:
    rng = np.random.default_rng(0)
    offsets = np.array([0, 100_000, 100_003])
    days = np.concatenate([np.sort(rng.integers(1, 90, 100_000)), [5, 6, 7]]).astype(np.int32)
    items = rng.integers(0, 30, 100_003).astype(np.int32)
    crowd = Histories(offsets, items, days, days.astype(np.int64), np.ones(100_003, bool))
    lists = recommender().recommend(crowd, shop(), 100, popular(2, 20), 20)
    assert [len(set(own)) for own in lists.items.tolist()] == [20, 20]
    assert shop().on_sale[lists.items].all()


def test_an_empty_shop_gives_empty_lists() -> None:
    empty = shop(0)
    nobody = people(3).keep(np.zeros(people(3).offsets[-1], bool))
    lists = recommender().recommend(nobody, empty, 100, np.zeros((3, 0), np.int32), 4)
    assert lists.items.tolist() == [[-1] * 4] * 3


def test_a_product_with_two_rows_is_refused() -> None:
    table = pa.table(
        {"product_id": ["b", "a", "b"], **dict.fromkeys(["events", "on_sale", "popularity", "recent"], [1] * 3)}
    )
    with pytest.raises(ContractError, match="product b has two rows"):
        Catalogue.from_table(table)


def test_item_biases_count_in_the_stored_vectors(tmp_path: Path) -> None:
    model = recommender()
    assert model.sequence is not None
    model.sequence.members[0].start_from_popularity(np.arange(len(model.vocabulary), 0, -1))
    folder.publish(str(tmp_path / "v1"), model.files())
    stored = Recommender.load(str(tmp_path / "v1"))
    assert stored.vectors is not None
    vectors, biases = model.sequence.scoring()
    assert np.array_equal(stored.vectors, np.column_stack([vectors, biases]))
    alone = people().users(np.flatnonzero(np.diff(people().offsets) == 1)[:1])
    _, found = next(stored.candidates(alone, shop(), 100))
    words = model.words(shop())
    user = model.sequence.users(Sequences.of(alone, words).newest(4))[0]
    items = found.items[0][~found.touched[0]]
    expected = vectors[words[items] - 1] @ user + biases[words[items] - 1]
    assert found.affinity[0][~found.touched[0]].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_parts_of_the_work_are_told() -> None:
    model, told = recommender(), []
    model.watch = lambda part: (told.append(part), candidates.unwatched(part))[1]
    model.recommend(people(5), shop(), 100, popular(5, 3), 3)
    assert told == ["encoder", "repeat search", "novel search", "features", "ranker", "lists"]


def test_without_sequence_model_and_ranker_lists_are_still_whole() -> None:
    model = Recommender(CONFIG, pa.array([], pa.string()), None, None)
    lists = model.recommend(people(), shop(), 100, popular(700, 3), 3)
    assert (lists.items >= 0).all()
    assert shop().on_sale[lists.items].all()


def test_no_users_give_no_lists() -> None:
    nobody = people().users(np.zeros(0, np.int64))
    assert recommender().recommend(nobody, shop(), 100, popular(0, 3), 3).items.shape == (0, 3)


def test_a_damaged_weight_file_is_named(tmp_path: Path) -> None:
    uri = tmp_path / "v1"
    folder.publish(str(uri), recommender().files())
    (uri / "weights.npz").write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"weights\.npz is damaged"):
        Recommender.load(str(uri))


def test_the_vocabulary_holds_items_with_enough_events_and_gives_way_in_tiny_logs() -> None:
    counts = np.array([9.0, 5.0, 1.0])
    three = Catalogue(pa.array(["a", "b", "c"]), counts, counts > 0, counts, counts)
    assert vocabulary(three, 5).to_pylist() == ["a", "b"]
    assert vocabulary(three, 50).to_pylist() == ["a", "b"]
