"""What users who are alike took: the sums against a plain oracle, the sample, and what becomes of users unlike all."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shelfcast.models import habits as habit
from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import Profile
from shelfcast.models.peers import HALF_LIVES, Peers
from shelfcast.train import peers_fit
from shelfcast.train.collective import Collective

DAY = 200
LIVES = [2.0, 32.0]
ITEMS = 60
WORDS = np.where(np.arange(ITEMS) % 10 == 9, 0, np.arange(ITEMS) - np.arange(ITEMS) // 10 + 1)  # every tenth is unknown
KNOWN = int(WORDS.max())


def crowd(users: int, seed: int = 0) -> Histories:
    """Even users take the lower half of the items, odd ones the upper half; every fifth only looks."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, users)
    rows = np.repeat(np.arange(users), sizes)
    items = rng.integers(0, ITEMS // 2, len(rows)) + (rows % 2) * (ITEMS // 2)
    days = np.sort(rows * 1000 + rng.integers(0, DAY + 1, len(rows))) - rows * 1000
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    wanted = (rows % 5 > 0) & (rng.random(len(rows)) < 0.8)
    return Histories(offsets, items.astype(np.int32), days.astype(np.int32), days.astype(np.int64), wanted)


def fitted(histories: Histories, alike: int = 7, collective: Any = None) -> Peers:
    options: Any = SimpleNamespace(half_lives=LIVES, peers=alike)
    found = peers_fit.fit(histories, WORDS, KNOWN, DAY, options, 1, collective or Collective())
    assert found is not None
    return found


def profile(histories: Histories) -> Profile:
    return Profile.of(habit.habits(histories, DAY, LIVES), WORDS, len(histories))


def trends(peers: Peers, histories: Histories) -> np.ndarray:
    """[users, vocabulary, half-lives]."""
    count = len(histories)
    users, places = np.repeat(np.arange(count), KNOWN), np.tile(np.arange(KNOWN), count)
    return peers.scores(peers.nearest(profile(histories)), users, places).reshape(count, KNOWN, len(HALF_LIVES))


def test_trends_are_the_mean_of_what_the_nearest_users_took() -> None:
    everyone = crowd(50)
    peers, asked = fitted(everyone), crowd(12, seed=3)
    wanted = everyone.keep(everyone.wanted)
    active = np.flatnonzero(np.diff(wanted.offsets))
    taken = np.zeros((50, KNOWN + 1, len(HALF_LIVES)))
    decayed = np.exp2((wanted.days[:, None] - DAY) / 7 / np.array(HALF_LIVES))
    np.add.at(taken, (wanted.rows(), WORDS[wanted.items]), decayed)
    taken = taken[active, 1:]
    taken[taken[:, :, 1] < 0.2] = 0  # forgotten
    cosines = peers.directions.stand(profile(asked)) @ peers.standing.T
    nearest = np.argsort(-cosines, axis=1)[:, :7]
    close = np.maximum(np.take_along_axis(cosines, nearest, 1), 0)
    expected = np.einsum("un,unph->uph", close, taken[nearest]) / close.sum(1)[:, None, None]
    found = trends(peers, asked)
    assert len(active) == len(peers.standing) > 30
    assert found.max() > 0.3
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("most", [1, 6, 80])
def test_the_best_are_those_of_the_highest_trends_that_are_allowed(most: int) -> None:
    peers, asked = fitted(crowd(60)), crowd(15, seed=6)
    rng = np.random.default_rng(1)
    allowed = rng.random(KNOWN) < 0.7
    masks = [rng.permutation(KNOWN)[: rng.integers(0, 20)] for _ in range(15)]
    masked = np.cumsum([0, *map(len, masks)]), np.concatenate([*masks]) if masks else np.zeros(0, np.int64)
    found = peers.best(peers.nearest(profile(asked)), allowed, masked, most)
    faded = replace(peers.taken, weights=np.where(peers.taken.weights < 0.1, 0, peers.taken.weights))
    expected = trends(replace(peers, taken=faded), asked)[:, :, 0]
    expected[:, ~allowed] = 0
    for user, taken in enumerate(masks):
        expected[user, taken] = 0
        own = found[user][found[user] >= 0]
        assert len(own) == min(most, np.count_nonzero(expected[user])) == len(set(own.tolist()))
        np.testing.assert_allclose(expected[user, own], -np.sort(-expected[user])[: len(own)], rtol=1e-4)


def test_users_are_told_of_their_own_kind() -> None:
    found = trends(fitted(crowd(200)), crowd(20, seed=5)).sum(2)
    lower = np.flatnonzero(WORDS[: ITEMS // 2])
    share = found[:, WORDS[lower] - 1].sum(1) / found.sum(1)
    assert (share[::2] > 0.95).all()
    assert (share[1::2] < 0.05).all()


def test_directions_are_the_first_singular_vectors_of_the_weighted_rows() -> None:
    everyone = crowd(90)
    peers, own = fitted(everyone), profile(everyone)
    rows = np.zeros((90, KNOWN))
    rows[np.repeat(np.arange(90), np.diff(own.offsets)), own.places] = own.weights
    active = np.diff(everyone.keep(everyone.wanted).offsets) > 0
    had = (rows[active] > 0).sum(0)
    rows = rows[active] * np.log((1 + active.sum()) / (1 + had))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, _, turned = np.linalg.svd(rows, full_matrices=False)
    standing = rows @ turned[: peers.standing.shape[1]].T
    standing /= np.linalg.norm(standing, axis=1, keepdims=True)
    np.testing.assert_allclose(peers.standing @ peers.standing.T, standing @ standing.T, atol=1e-4)


def test_who_is_unlike_everyone_is_told_nothing() -> None:
    peers = fitted(crowd(40))
    nobody = Histories.empty(2)
    assert not trends(peers, nobody).any()
    place = np.array([-1])  # not of the vocabulary
    assert not peers.scores(peers.nearest(profile(crowd(1))), np.zeros(1, np.int64), place).any()


@pytest.mark.parametrize("alike", [3, 500])
def test_a_stored_sample_says_the_same(alike: int) -> None:
    peers, asked = fitted(crowd(60), alike), crowd(9, seed=4)
    again = Peers.from_arrays(peers.arrays())
    np.testing.assert_array_equal(trends(again, asked), trends(peers, asked))
    assert np.isfinite(trends(peers, asked)).all()


def test_ranks_join_their_users() -> None:
    halves = [crowd(30), crowd(26, seed=8)]
    options: Any = SimpleNamespace(half_lives=LIVES, peers=5)

    class Sent(Exception):
        pass

    class Recorder(Collective):
        def gather(self, value: Any) -> list[Any]:
            sent.append(value)
            raise Sent

    sent: list[Any] = []
    for rank, own in enumerate(halves):
        with pytest.raises(Sent):
            peers_fit.fit(own, WORDS, KNOWN, DAY, options, 1, Recorder(rank=rank, size=2))

    class Both(Collective):
        def gather(self, value: Any) -> list[Any]:
            return sent

    found = fitted(halves[0], 5, Both(rank=0, size=1))
    active = [int((np.diff(own.keep(own.wanted).offsets) > 0).sum()) for own in halves]
    assert len(found.standing) == len(found.taken.offsets) - 1 == sum(active)
    assert found.taken.offsets[-1] == len(found.taken.places) == len(found.taken.weights)
    lengths = np.linalg.norm(found.standing, axis=1)
    assert ((lengths > 0.99) | (lengths == 0)).all()  # one has nothing of the vocabulary
    assert (lengths > 0).sum() >= sum(active) - 2


def test_nobody_who_took_anything_makes_no_sample() -> None:
    options: Any = SimpleNamespace(half_lives=LIVES, peers=5)
    looked = crowd(6)
    looked = Histories(looked.offsets, looked.items, looked.days, looked.times, np.zeros(len(looked.items), bool))
    for histories in (looked, Histories.empty(3)):
        assert peers_fit.fit(histories, WORDS, KNOWN, DAY, options, 1, Collective()) is None
