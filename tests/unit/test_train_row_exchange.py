"""What travels by rows: the dense gradient, each row once, the same bits on every rank."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from shelfcast.train.collective import Collective

HEIGHT = 9


class Wire:
    """Stands for horovod.tensorflow: what one rank sends is kept, what all sent arrives."""

    Sum = "sum"

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}
        self.open = True

    def _pass(self, tensor: Any, name: str) -> list[Any]:
        if self.open:
            self.sent.setdefault(name, []).append(tensor)
        return self.sent[name]

    def allreduce(self, tensor: Any, op: str, name: str) -> Any:
        assert op == self.Sum
        return tf.add_n(self._pass(tensor, name))

    def allgather(self, tensor: Any, name: str) -> Any:
        return tf.concat(self._pass(tensor, name), 0)


def joined(gradients: Sequence[Sequence[Any]], weights: Sequence[float], *, dense: bool = False) -> list[list[Any]]:
    """What each rank has after the ranks' ``gradients`` were joined."""
    wire = Wire()
    ranks = [Collective(rank, len(weights), hvd=wire) for rank in range(len(weights))]
    for collective, given, weight in zip(ranks, gradients, weights, strict=True):
        collective.join(given, weight, dense=dense)
    wire.open = False
    return [c.join(g, w, dense=dense)[0] for c, g, w in zip(ranks, gradients, weights, strict=True)]


def slices(rows: Sequence[int], *shape: int, seed: int = 0) -> Any:
    """Gradient of a table [HEIGHT, *shape] for ``rows``, which may repeat."""
    values = np.random.default_rng(seed).normal(size=(len(rows), *shape)).astype(np.float32)
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows, tf.int32), tf.constant([HEIGHT, *shape]))


def test_merged_rows_of_all_ranks_are_the_dense_gradient() -> None:
    bias = [slices([4, 4], seed=1), slices([], seed=2), slices([8, 4, 1], seed=3)]
    table = [slices([7, 2, 7, 0], 3, seed=4), slices([2, 2], 3, seed=5), slices([5, 0, 4], 3, seed=6)]
    small = [tf.fill([2, 2], float(rank)) for rank in range(3)]
    given = list(zip(bias, table, small, strict=True))
    found, whole = joined(given, [3.0, 1.0, 4.0]), joined(given, [3.0, 1.0, 4.0], dense=True)
    for (b, t, s), (b_whole, t_whole, s_whole) in zip(found, whole, strict=True):
        assert t.indices.numpy().tolist() == b.indices.numpy().tolist() == [0, 1, 2, 4, 5, 7, 8]
        assert np.allclose(tf.convert_to_tensor(t), t_whole, atol=1e-6)
        assert np.allclose(tf.convert_to_tensor(b), b_whole, atol=1e-6)
        assert np.allclose(s, s_whole)
    sums = sum(np.asarray(tf.convert_to_tensor(t)) for t in table) / 8
    assert np.allclose(tf.convert_to_tensor(found[0][1]), sums, atol=1e-6)
    assert all(np.array_equal(a[1].values, found[0][1].values) for a in found)  # the same bits on every rank


def test_a_rank_alone_merges_its_own_duplicates() -> None:
    (found,), total = Collective().join([slices([3, 1, 3], 2)], 2.0)
    assert (found.indices.numpy().tolist(), float(total)) == ([1, 3], 2.0)
    assert np.allclose(tf.convert_to_tensor(found), tf.convert_to_tensor(slices([3, 1, 3], 2)) / 2)
