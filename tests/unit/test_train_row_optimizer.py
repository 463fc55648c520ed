"""Tables that move by rows: what dense AdamW and a running average make of all rows, done for the touched ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.row_optimizer import AveragedAdamW

HEIGHT = 9


def slices(rows: Sequence[int], *shape: int, seed: int = 0) -> Any:
    """Gradient of a table [HEIGHT, *shape] for ``rows``, which may repeat."""
    values = np.random.default_rng(seed).normal(size=(len(rows), *shape)).astype(np.float32)
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows, tf.int32), tf.constant([HEIGHT, *shape]))


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
