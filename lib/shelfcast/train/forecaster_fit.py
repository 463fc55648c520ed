"""One fit of a forecaster network by all ranks: batches, joined gradients, validation at an earlier origin."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models import distributions, forecaster, window_tensors
from shelfcast.models.trained_forecaster import distribution_of, last_position
from shelfcast.models.window_tensors import Windows
from shelfcast.settings import Forecaster as Hyper
from shelfcast.train.collective import Collective, plain
from shelfcast.train.schedule import WarmupCosine, peak_for
from shelfcast.train.windows_share import Share

_SCORED = 2048  # series a batch where nothing is learnt


@dataclass(frozen=True)
class Validation:
    """Of the forecasts at the earlier origin, over all ranks.

    nll: mean negative log-likelihood a target; wape of the median; bias of the mean ÷ units; correlation between two
    horizons of a series; targets: how many there were.
    """

    nll: float
    wape: float
    bias: float
    correlation: float
    targets: int


class Fit:
    """A network in training.

    Args:
        share: this rank's data.
        hyper: optimisation.
        seed: of initial weights, order of batches and dropout.
        held_out: last periods that no gradient sees, for the choice of the number of epochs.
    """

    def __init__(self, share: Share, hyper: Hyper, seed: int, held_out: int, collective: Collective) -> None:
        self.share, self.hyper, self.seed, self.collective = share, hyper, seed, collective
        self.held_out = held_out
        weighted = window_tensors.weights(share.windows, share.least_sales, held_out).any((1, 2))
        self.windows = share.windows.take(weighted)
        most = max(collective.gather(len(self.windows)))
        self.steps = -(-most // hyper.batch)  # the same on every rank, else the slower ones would wait for ever
        self.kept = int(share.windows.length.max(initial=1))  # leading positions that are padding everywhere are cut
        self.network = forecaster.built(self._shape(), seed)
        peak = peak_for(hyper.learning_rate, collective.size)
        self.optimizer = keras.optimizers.Adam(
            WarmupCosine(peak, self.steps * hyper.epochs, hyper.warmup), clipnorm=hyper.clip_norm
        )
        self.optimizer.build(self.network.trainable_variables)
        collective.share(self.network.weights)
        self._step = tf.function(self._one_step, input_signature=_batch_signature(self.network.shape))

    def _shape(self) -> forecaster.Shape:
        share, hyper = self.share, self.hyper
        sizes = {name: len(values) + 1 for name, values in share.vocabularies.items()}
        extra = 2 if share.seasonal else 0
        return forecaster.Shape(
            inputs=len(window_tensors.INPUTS) + extra + 1, planned=len(window_tensors.PLANNED) + extra,
            horizon=share.horizon, vocabularies=sizes, embeddings={name: hyper.embeddings[name] for name in sizes},
            units=hyper.units, layers=hyper.layers, dense=hyper.dense, dropout=hyper.dropout,
        )  # fmt: skip

    @property
    def variables(self) -> list[Any]:
        """What a checkpoint must hold."""
        return [*self.network.weights, *self.optimizer.variables]

    def epoch(self, number: int) -> tuple[float, float]:
        """One pass over all ranks' windows. Returns mean negative log-likelihood a target, and seconds."""
        began = time.monotonic()
        generator = np.random.default_rng([self.seed, number, self.collective.rank])
        self.network.dropout.seed_generator.state.assign(generator.integers(0, 2**31, 2, dtype=np.uint32))
        totals = np.zeros(2)
        for batch in self._batches(generator):
            totals += [float(value) for value in self._step(*batch)]
        likelihood, targets = self.collective.sum(totals)
        return float(likelihood / max(targets, 1.0)), time.monotonic() - began

    def _batches(self, generator: np.random.Generator) -> Iterator[tuple[NDArray[Any], ...]]:
        """Equal parts of a random order, as many on every rank; a rank that runs short gives an empty one."""
        order = generator.permutation(len(self.windows))
        cut = slice(self.share.context - self.kept, None)
        for rows in np.array_split(order, self.steps):
            part = self.windows.take(rows)
            given = window_tensors.tensors(part, self.share.norm)
            yield (
                given.history[:, cut], given.planned[:, cut], given.statics, given.started[:, cut],
                given.scale[:, cut], window_tensors.targets(part)[:, cut],
                window_tensors.weights(part, self.share.least_sales, self.held_out)[:, cut],
            )  # fmt: skip

    def _one_step(
        self, history: Any, planned: Any, statics: Any, started: Any, scale: Any, target: Any, weight: Any
    ) -> Any:
        trained = self.network.trainable_variables
        with tf.GradientTape() as tape:
            raw = self.network((history, planned, statics, started), training=True)
            loss, likelihood = forecaster.summed_loss(
                raw, scale, target, weight, self.hyper.tweedie_power, self.hyper.mean_weight
            )
        gradients = tape.gradient(loss, [plain(variable) for variable in trained])
        # Embedding rows are few next to the rest, so the whole gradient travels as one dense vector.
        joined, _ = self.collective.join(gradients, tf.reduce_sum(weight), dense=True)
        for gradient, variable in zip(joined, trained, strict=True):
            gradient.set_shape(variable.shape)
        self.optimizer.apply(joined, trained)
        return likelihood, tf.reduce_sum(weight)

    def validate(self) -> Validation:
        """Forecasts at the newest cutoff less the horizon, against what the windows say happened then."""
        horizon, origin = self.share.horizon, self.share.context - self.share.horizon
        sums = np.zeros(7)
        for part in self._validated():
            raw, scale = self._forecast(part, origin)
            zinb, tweedie = distribution_of(raw, scale)
            truth = part.units[:, -horizon:].astype(np.float64)
            likelihood = forecaster.negative_log_likelihood(
                truth, np.log(zinb.zero / (1 - zinb.zero)), zinb.mean, zinb.dispersion
            )
            median = distributions.quantile(0.5, *zinb)
            residual = (truth - distributions.expectation(*zinb)) / np.sqrt(distributions.variance(*zinb))
            residual = np.clip(residual, -5.0, 5.0)
            pairs = (residual.sum(1) ** 2 - (residual**2).sum(1)).sum()
            sums += [
                float(np.sum(likelihood)), truth.size, float(np.abs(truth - median).sum()), float(truth.sum()),
                float(tweedie.sum()), float(pairs), len(part) * horizon * (horizon - 1),
            ]  # fmt: skip
        likelihood, count, missed, sold, expected, pairs, possible = self.collective.sum(sums)
        return Validation(
            nll=float(likelihood / max(count, 1)), wape=float(missed / max(sold, 1e-9)),
            bias=float((expected - sold) / max(sold, 1e-9)),
            correlation=float(np.clip(pairs / max(possible, 1), 0.0, 0.95)), targets=int(count),
        )  # fmt: skip

    def _validated(self) -> Iterator[Windows]:
        """Newest windows that could have been trained on at the earlier origin, as far as sales go."""
        origin = self.share.context - self.share.horizon
        windows = self.share.windows
        enough = (windows.units[:, :origin] > 0).sum(1) >= self.share.least_sales
        chosen = np.flatnonzero(windows.newest & enough)
        for start in range(0, len(chosen), _SCORED):
            yield windows.take(chosen[start : start + _SCORED])

    def _forecast(self, part: Windows, origin: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Raw heads [N, 1, H, 4] at position ``origin`` − 1 and scale [N, 1]."""
        given = window_tensors.tensors(part, self.share.norm)
        past = slice(self.share.context - self.kept, origin)
        inputs = (
            given.history[:, past], given.planned[:, past.start : origin + self.share.horizon], given.statics,
            given.started[:, past],
        )  # fmt: skip
        return last_position(self.network, inputs), given.scale[:, origin - 1 : origin]


def _batch_signature(shape: forecaster.Shape) -> list[Any]:
    """Any number of series and positions: one trace serves every batch."""
    each = [None, None, shape.horizon]
    return [*forecaster.signature(shape), tf.TensorSpec([None, None]), tf.TensorSpec(each), tf.TensorSpec(each)]
