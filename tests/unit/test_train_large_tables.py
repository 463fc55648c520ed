"""Large tables: when they go by rows, sizes that suit them, what they cost, and that a model learns by rows."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

from shelfcast.config import load
from shelfcast.models.recommender import Architecture, SequenceRecommender
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequences import Pieces, Sequences
from shelfcast.models.sizes import sizes
from shelfcast.train import large_tables
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.large_tables import by_rows, memory, sent
from shelfcast.train.sequence_fit import Fit


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
        update={"dim": 8, "units": 4, "batch_targets": 60, "negatives": 20, "epoch_targets": 3000, "dropout": 0.0,
                "learning_rate": 0.016}
    )  # fmt: skip
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
    negatives, checkpoint = Negatives.mixed(np.ones(items), 0.5), Checkpoint("/nowhere")
    size = sizes(options, 120, items, 2400)
    return Fit("test", model, pieces, negatives, options, size, 1, collective, checkpoint)


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
