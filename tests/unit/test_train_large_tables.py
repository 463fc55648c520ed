"""Tables by rows: what travels, what moves, and that both are what dense gradients and dense AdamW make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.config import load
from shelfcast.models.recommender import Architecture, SequenceRecommender
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequences import Pieces, Sequences
from shelfcast.models.sizes import sizes
from shelfcast.train import large_tables
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.large_tables import by_rows, memory, sent
from shelfcast.train.row_optimizer import AveragedAdamW
from shelfcast.train.sequence_fit import Fit

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


def table_and_rest(seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    shapes = [(HEIGHT, 3), (HEIGHT,), (2, 2)]
    return [keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


def whole(gradient: NDArray[Any]) -> Any:
    return tf.IndexedSlices(tf.constant(gradient), tf.range(len(gradient)), tf.constant(gradient.shape))


def test_with_all_rows_touched_it_is_dense_adamw_and_the_average() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = table_and_rest(), table_and_rest()
    lazy = AveragedAdamW(ours, [True, True, False], 0.02, 0.1, 0.8)
    dense = keras.optimizers.AdamW(0.02, weight_decay=0.1)
    dense.build(theirs)
    means = [np.array(v) for v in theirs]
    for step in range(1, 30):
        given = [rng.normal(size=v.shape).astype(np.float32) for v in ours]
        for optimizer in (lazy, dense):
            optimizer.learning_rate.assign(0.02 * min(1.0, step / 5))
        lazy.apply([whole(given[0]), whole(given[1]), tf.constant(given[2])])
        dense.apply([tf.constant(g) for g in given])
        keep = min(0.8, (1 + step) / (10 + step))
        means = [keep * mean + (1 - keep) * np.array(v) for mean, v in zip(means, theirs, strict=True)]
    assert lazy.steps == 29
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(lazy.average, means, strict=True))


def test_a_row_left_alone_decays_and_its_average_follows_as_if_every_step_had_moved_it() -> None:
    (table, *_), rates = table_and_rest(), [0.1, 0.4, 0.05, 0.2, 0.3, 0.25]
    begun = np.array(table)
    optimizer = AveragedAdamW([table], [True], 0.1, 0.3, 0.7)
    weight, mean = begun.astype(np.float64), begun.astype(np.float64)
    for step, rate in enumerate(rates, 1):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([slices([0, 4] if step % 2 else [0], 3, seed=step)])
        keep = min(0.7, (1 + step) / (10 + step))
        weight = weight * (1 - rate * 0.3)
        mean = keep * mean + (1 - keep) * weight
    alone = [1, 2, 3, 5, 6, 7, 8]
    assert np.array_equal(np.array(table)[alone], begun[alone])  # nothing was done to them so far
    optimizer.settle()
    assert np.allclose(np.array(table)[alone], weight[alone], atol=1e-6)
    assert np.allclose(optimizer.average[0].numpy()[alone], mean[alone], atol=1e-6)
    settled = [np.array(table), optimizer.average[0].numpy()]
    optimizer.settle()
    assert np.allclose([np.array(table), optimizer.average[0].numpy()], settled, atol=1e-7)


def test_settling_between_steps_changes_nothing() -> None:
    found = []
    for often in (False, True):
        (table, *_) = table_and_rest()
        optimizer = AveragedAdamW([table], [True], 0.1, 0.3, 0.7)
        for step in range(12):
            optimizer.apply([slices([step % 4, 5 + step % 3], 3, seed=step)])
            if often:
                optimizer.settle()
        optimizer.settle()
        found.append([np.array(table), optimizer.average[0].numpy()])
    assert np.allclose(found[0], found[1], atol=1e-5)


def test_moments_of_a_row_left_alone_stay_as_they_were() -> None:
    (table, *_) = table_and_rest()
    optimizer = AveragedAdamW([table], [True], 0.1, 0.0, 0.7)
    gradient = slices([2], 3)
    optimizer.apply([gradient])
    for _ in range(5):
        optimizer.apply([slices([6], 3)])
    before = np.array(table)[2]
    optimizer.apply([gradient])
    first, second = (g * gradient.values.numpy()[0] ** p for g, p in ((0.1 + 0.9 * 0.1, 1), (0.001 + 0.000999, 2)))
    alpha = 0.1 * np.sqrt(1 - 0.999**7) / (1 - 0.9**7)
    assert np.allclose(np.array(table)[2], before - alpha * first / np.sqrt(second), rtol=1e-4)


def test_swapping_shows_the_averages_and_brings_the_weights_back() -> None:
    variables = table_and_rest()
    optimizer = AveragedAdamW(variables, [True, False, False], 0.1, 0.1, 0.7)
    optimizer.apply([slices([1, 2], 3), tf.ones(HEIGHT), tf.ones((2, 2))])
    optimizer.settle()
    weights, means = [np.array(v) for v in variables], [mean.numpy() for mean in optimizer.average]
    assert all((a != b).any() for a, b in zip(weights, means, strict=True))
    optimizer.swap()
    assert all(np.array_equal(v, mean) for v, mean in zip(variables, means, strict=True))
    optimizer.swap()
    assert all(np.array_equal(v, weight) for v, weight in zip(variables, weights, strict=True))


def test_a_table_that_every_row_of_gets_a_gradient_is_named() -> None:
    optimizer = AveragedAdamW(table_and_rest()[:1], [True], 0.1, 0.1, 0.7)
    with pytest.raises(TypeError, match=r"\(9, 3\)"):
        optimizer.apply([tf.ones((HEIGHT, 3))])


@pytest.mark.parametrize("together", [1 << 24, 20])
def test_a_restored_checkpoint_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr("shelfcast.train.checkpoint._TOGETHER", together)  # one file, or several

    def advanced(variables: list[Any], optimizer: AveragedAdamW, steps: range) -> None:
        for step in steps:
            optimizer.apply([slices([step % 5, 7], 3, seed=step), slices([step % 3], seed=step), tf.ones((2, 2))])

    checkpoint, results = Checkpoint(str(tmp_path / "model")), []
    for parts in ([range(9)], [range(4), range(4, 9)]):
        for part in parts:
            variables = table_and_rest(seed=len(results))
            optimizer = AveragedAdamW(variables, [True, True, False], 0.1, 0.1, 0.7)
            if part.start:
                assert checkpoint.restore(Collective(), [*variables, *optimizer.variables]) == {"epoch": 4}
            else:
                for variable, value in zip(variables, table_and_rest(), strict=True):
                    variable.assign(value)
                for mean, value in zip(optimizer.average, table_and_rest(), strict=True):
                    mean.assign(value.value)
            advanced(variables, optimizer, part)
            checkpoint.save(Collective(), [*variables, *optimizer.variables], {"epoch": part.stop})
        results.append([np.array(v) for v in [*variables, *optimizer.variables]])
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(*results, strict=True))


def test_a_checkpoint_of_another_phase_is_left_alone(tmp_path: Path) -> None:
    checkpoint, (variable, *_) = Checkpoint(str(tmp_path / "model")), table_and_rest()
    checkpoint.save(Collective(), [variable], {"phase": "choose", "epoch": 3})
    begun = np.array(variable) + 1
    variable.assign(begun)
    assert checkpoint.restore(Collective(), [variable], "refit") is None
    assert np.array_equal(np.array(variable), begun)
    assert checkpoint.restore(Collective(), [variable], "choose") == {"phase": "choose", "epoch": 3}
    assert np.allclose(np.array(variable), begun - 1, atol=1e-6)


def test_large_tables_go_by_rows_until_ranks_touch_half_of_them() -> None:
    million = [(), (1_000_001,), (1_000_001, 64), (64, 256), (256,)]
    assert by_rows(million, 2 * 40_000) == [False, True, True, False, False]
    assert by_rows(million, 16 * 40_000) == [False] * 5
    assert by_rows([(20_001,), (20_001, 128), (64, 256)], 5000) == [False] * 3  # moving them whole costs little


def test_the_figures_of_the_page_follow_from_the_sizes() -> None:
    items, dim, units = 10_000_000, 128, 64
    options = sizes(load().settings.recommender, 10**8, items, 10**9)
    assert options.dim == dim
    lstm = [(dim, 4 * units), (units, 4 * units), (4 * units,)]
    shapes = [(), (), (items,), (items, dim), *lstm, (units, dim), (dim,), (dim, 1), (1,), (dim, dim), (dim,)]
    touched = 2 * options.batch_targets + options.negatives
    rows = by_rows(shapes, 2 * touched)
    assert [shape for shape, by in zip(shapes, rows, strict=True) if by] == [(items,), (items, dim)]
    assert memory(shapes, rows) == pytest.approx(26.3e9, rel=0.01)
    assert sent(18_500, shapes, rows) == pytest.approx(9.6e6 + 0.3e6, rel=0.01)
    assert sent(0, shapes, [False] * len(shapes)) == pytest.approx(5.16e9, rel=0.01)
    assert not any(by_rows(shapes, 151 * touched))
    assert any(by_rows(shapes, 149 * touched))


def test_batches_and_epochs_grow_with_the_table() -> None:
    options = load().settings.recommender
    assert sizes(options, 10**5, 40_000, 10**7).batch_targets == 1500
    large = sizes(options, 10**7, 1_000_000, 10**8)
    assert (large.batch_targets, large.epoch_targets) == (15_625, 4_000_000)
    assert sizes(options, 10**8, 10_000_000, 10**9).batch_targets == 16_384


def fit(rank: int = 0, others: Sequence[Any] = (), items: int = 400) -> Fit:
    """A small training on sequences of neighbouring items, 2 to 20 of them."""
    options = load().settings.recommender.model_copy(
        update={"dim": 8, "units": 4, "batch_targets": 60, "negatives": 20, "epoch_targets": 3000, "dropout": 0.0}
    )
    rng = np.random.default_rng(rank)
    lengths = rng.integers(1, 20, 120 - 40 * rank)
    starts = np.concatenate([[0], np.cumsum(lengths + 1)])
    first = np.repeat(rng.integers(1, items - 20, len(lengths)), lengths + 1)
    numbers = (first + np.arange(len(first)) - np.repeat(starts[:-1], lengths + 1)).astype(np.int32)
    keras.utils.set_random_seed(1)
    model = SequenceRecommender(Architecture(items, "lstm", 8, 4, 20, 0.0, 0.1, bias=True))
    sequences = Sequences(starts, numbers, np.arange(len(numbers)), np.zeros(len(numbers), np.int32))
    pieces = Pieces(sequences, starts[:-1], lengths)
    collective = Agreed(rank, 1 + len(others))
    return Fit(
        "test",
        model,
        pieces,
        Negatives.mixed(np.ones(items), 0.5),
        options,
        sizes(options, 120, items, 2400),
        1,
        collective,
        Checkpoint("/nowhere"),
    )


class Agreed(Collective):
    """A rank whose others always answer that an epoch has 30 steps."""

    def gather(self, value: Any) -> list[Any]:
        return [value, *[30] * (self.size - 1)]


def test_ranks_with_unequal_shares_take_pieces_of_like_length_at_the_same_steps() -> None:
    lengths = [[batch[0].shape[1] for batch in fit(rank, others=[1]).batches(0)] for rank in (0, 1)]
    assert len(lengths[0]) == len(lengths[1]) == 30
    assert max(abs(a - b) for a, b in zip(*lengths, strict=True)) <= 3
    assert len(set(lengths[0])) > 5


def test_by_rows_a_model_learns_as_by_dense_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {}
    for smallest in (0, 1 << 24):
        monkeypatch.setattr(large_tables, "_SMALL", smallest)
        trained = fit()
        variables = list(trained.model.trainable_variables)
        optimizer = trained.optimizer(variables)
        step = trained.step(variables, optimizer)
        losses[trained.gradients] = [trained._epoch(epoch, step, optimizer) for epoch in range(6)]
    assert set(losses) == {"rows", "dense"}
    assert losses["rows"][0] == pytest.approx(losses["dense"][0], rel=0.1)
    assert losses["rows"][-1] < 0.7 * losses["rows"][0]
