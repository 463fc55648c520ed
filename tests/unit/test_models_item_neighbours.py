"""Which items go together, what that says of a user, and what kinds of products a user likes."""

import numpy as np
import pyarrow as pa
import pytest

from shelfcast.models import item_neighbours
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import ItemNeighbours, Profile
from shelfcast.models.likings import likings
from shelfcast.models.sequences import Sequences
from shelfcast.train import neighbours_fit
from shelfcast.train.collective import Collective

BASKETS = [[0, 1], [0, 1, 2], [0, 1, 2, 3], [2, 3], [4]]


def flat(baskets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(basket) for basket in baskets])]).astype(np.int64)
    return offsets, np.array([item for basket in baskets for item in basket], np.int32)


def learnt(most: int = 3, items: int = 5) -> ItemNeighbours:
    return item_neighbours.learn(*flat(BASKETS), items, np.arange(items), most)


def test_neighbours_are_shrunk_cosines_of_users_who_count_by_the_items_they_have() -> None:
    found = learnt()
    # 0 and 1 share three users with 2, 3 and 4 items
    both, norm = 1 / 2 + 1 / 3 + 1 / 4, 1 / 2 + 1 / 3 + 1 / 4
    assert found.places[0, 0] == 1
    assert found.weights[0, 0] == pytest.approx(both / norm * 3 / (3 + 5))
    with_two = (1 / 3 + 1 / 4) / np.sqrt(norm * (1 / 3 + 1 / 4 + 1 / 2)) * 2 / (2 + 5)
    assert (found.places[0, 1], found.weights[0, 1]) == (2, pytest.approx(with_two))
    assert found.places[4].tolist() == [-1, -1, -1]


def test_only_the_nearest_are_kept() -> None:
    assert np.array_equal(learnt(1).places[:, 0], learnt(4).places[:, 0])


def test_what_is_near_to_a_user_is_the_sum_over_its_items() -> None:
    found = learnt(4)
    profile = Profile(np.array([0, 2, 2]), np.array([0, 3], np.int32), np.array([1.0, 0.5], np.float32))
    dense = np.zeros((5, 5))
    for row in range(5):
        for place, weight in zip(found.places[row], found.weights[row], strict=True):
            dense[row, place] += weight if place >= 0 else 0
    expected = dense[0] + 0.5 * dense[3]
    asked = np.array([1, 2, 4, -1, 1], np.int32)
    scores = found.scores(profile, np.array([0, 0, 0, 0, 1]), asked)
    assert scores.tolist() == pytest.approx([expected[1], expected[2], 0, 0, 0], abs=1e-6)
    everything = np.ones(5, bool)
    nothing = np.zeros(3, np.int64), np.zeros(0, np.int32)
    order = [place for place in np.argsort(-expected) if expected[place] > 0]
    assert found.best(profile, everything, nothing, 4).tolist() == [[*order, *[-1] * (4 - len(order))], [-1] * 4]
    own = np.array([0, 3, 3]), np.array([0, 3, -1], np.int32)
    assert found.best(profile, everything, own, 2)[0].tolist() == [1, 2] if expected[1] > expected[2] else [2, 1]
    assert found.best(profile, np.arange(5) != 1, own, 2)[0].tolist() == [2, -1]


def test_ranks_find_together_what_one_finds_alone() -> None:
    offsets, places = flat(BASKETS)
    whole = Sequences(offsets, places + 1, np.arange(len(places)), np.zeros(len(places), np.int32))
    alone = neighbours_fit.fit(whole, 5, 3, 1, Collective(), shared=False)
    assert np.array_equal(alone.places, learnt().places)

    class Pair(Collective):
        """Both ranks in turn: what the other would give is worked out by itself."""

        def gather(self, value: object) -> list[object]:
            other = Pair(1 - self.rank, 2)
            mine = whole.users(slice(other.rank, None, 2)).newest(300).numbers
            if isinstance(value, tuple) and value[0].ndim == 1:
                theirs = ((mine > 0).sum(1), mine[mine > 0] - 1)
            else:
                rows = np.arange(other.rank, 5, 2)
                theirs = (learnt().places[rows], learnt().weights[rows])
            return [value, theirs] if self.rank == 0 else [theirs, value]

    for rank in (0, 1):
        found = neighbours_fit.fit(whole.users(slice(rank, None, 2)), 5, 3, 1, Pair(rank, 2), shared=False)
        assert np.array_equal(found.places, alone.places)
        assert np.allclose(found.weights, alone.weights)


def test_a_liking_is_the_decayed_count_of_purchases_of_that_kind() -> None:
    days = np.array([100, 44, 100, 100], np.int32)
    histories = Histories(
        np.array([0, 3, 4]), np.array([0, 1, 2, 3], np.int32), days, days.astype(np.int64),
        np.array([True, True, False, True]),
    )  # fmt: skip
    groups = np.array([7, 7, 7, -1, 7], np.int32)
    (found,) = likings(histories, 100, [groups], np.array([0, 0, 1, 1]), np.array([4, 3, 4, 3]))
    assert found.tolist() == pytest.approx([np.log1p(10 * 1.5), 0, 0, 0], abs=1e-6)


def test_a_catalogue_keeps_its_groups() -> None:
    table = pa.table({
        "product_id": ["c", "a", "b"], "events": [1.0, 2.0, 3.0], "on_sale": [True] * 3, "popularity": [1.0] * 3,
        "recent": [0.0] * 3, "price": [1.5, 2.5, 3.5], "brand": ["x", None, "x"],
    })  # fmt: skip
    found = Catalogue.from_table(table)
    assert found.groups["brand"].to_pylist() == [None, "x", "x"]
    assert found.kinds[0].tolist() == [-1, 0, 0]
    assert list(found.traits) == ["price"]
    again = Catalogue.from_bytes(found.to_bytes())
    assert again.groups["brand"].to_pylist() == [None, "x", "x"]
    moved = found.on(pa.array(["a", "b", "d"]))
    assert moved.groups["brand"].to_pylist() == [None, "x", None]
    assert found.with_traits([], ["size", "brand"]).kinds[0].tolist() == [-1, -1, -1]
