"""One fit of a forecaster network by all ranks: batches, joined gradients, validation at an earlier origin."""

import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models import forecaster, window_targets, window_tensors
from shelfcast.models.calibration import Traits
from shelfcast.models.distributions import Zinb
from shelfcast.models.trained_forecaster import distribution_of, last_position
from shelfcast.models.window_tensors import Inputs, Windows
from shelfcast.settings import Forecaster as Hyper
from shelfcast.train.batches import batch_size, made_ahead
from shelfcast.train.collective import Collective, plain
from shelfcast.train.earlier_origin import Validation, validate
from shelfcast.train.schedule import WarmupCosine, peak_for
from shelfcast.train.windows_share import Share, WindowsShare


def share_of(reader: WindowsShare, hyper: Hyper) -> Share:
    """A rank's share of the windows, with the inputs that the configuration asks for."""
    inputs = Inputs(groups=tuple(hyper.inputs), planned=tuple(hyper.planned))
    return reader.load(list(hyper.embeddings), hyper.min_sale_periods, inputs)


class Fit:
    """A network in training.

    Args:
        share: this rank's data.
        hyper: optimisation.
        seed: of initial weights, order of batches and dropout.
        held_out: last periods that no gradient sees, for the choice of the number of epochs.
        epochs: how many will be trained; None: ``epochs``, what the configuration says or, for a log with few series,
            as many as make its least number of steps.
    """

    def __init__(
        self, share: Share, hyper: Hyper, seed: int, held_out: int, collective: Collective, epochs: int | None = None
    ) -> None:
        self.share, self.hyper, self.seed, self.collective = share, hyper, seed, collective
        self.held_out = held_out
        weighted = window_targets.weights(share.windows, share.least_sales, held_out).any((1, 2))
        self.windows = share.windows.take(weighted)
        self.shares = self._shares()
        # The same number on every rank, else the slower ones would wait for ever.
        most = max(collective.gather(int(np.ceil(self.shares.sum()))))
        self.batch = batch_size(most, hyper.batch)
        self.steps = -(-most // self.batch)
        self.epochs = max(hyper.epochs, -(-hyper.least_steps // self.steps)) if self.steps else hyper.epochs
        self.kept = int(share.windows.length.max(initial=1))  # leading positions that are padding everywhere are cut
        self.network = forecaster.built(self._shape(), seed)
        larger = max(1.0, self.batch / hyper.batch)  # a smaller one is no reason for a lower rate
        peak = peak_for(hyper.learning_rate, collective.size * larger)
        self.optimizer = keras.optimizers.Adam(
            WarmupCosine(peak, self.steps * (epochs or self.epochs), hyper.warmup), clipnorm=hyper.clip_norm
        )
        self.optimizer.build(self.network.trainable_variables)
        collective.share(self.network.weights)
        self._step = tf.function(self._one_step, input_signature=_batch_signature(self.network.shape))

    def _shares(self) -> NDArray[Any]:
        """[N]: how likely each of this rank's windows is seen in an epoch."""
        shares = np.where(self.windows.sparse(), self.hyper.sparse_share, 1.0)
        total = float(self.collective.sum(shares.sum()))
        return np.asarray(shares * min(1.0, self.hyper.epoch_windows / max(total, 1.0)))

    def _shape(self) -> forecaster.Shape:
        share, hyper = self.share, self.hyper
        sizes = {name: len(values) + 1 for name, values in share.vocabularies.items()}
        return forecaster.Shape(
            inputs=len(share.inputs.history) + 1, planned=len(share.inputs.future), horizon=share.horizon,
            vocabularies=sizes, embeddings={name: hyper.embeddings[name] for name in sizes},
            units=hyper.units, layers=hyper.layers, dense=hyper.dense, dropout=hyper.dropout,
        )  # fmt: skip

    @property
    def variables(self) -> list[Any]:
        """What a checkpoint must hold."""
        return [*self.network.weights, *self.optimizer.variables]

    def epoch(self, number: int) -> tuple[float, float]:
        """One pass over all ranks' windows, or a random part of them.

        Returns:
            mean negative log-likelihood a target, as they are weighted, and seconds.
        """
        began = time.monotonic()
        generator = np.random.default_rng([self.seed, number, self.collective.rank])
        dropped = generator.integers(0, 2**31, 2, dtype=np.uint32)
        if self.hyper.dropout > 0:
            self.network.dropout.seed_generator.state.assign(dropped)
        totals = np.zeros(2)
        for batch in self.batches(generator):
            totals += [float(value) for value in self._step(*batch)]
        likelihood, targets = self.collective.sum(totals)
        return float(likelihood / max(targets, 1.0)), time.monotonic() - began

    def batches(self, generator: np.random.Generator) -> Iterator[tuple[NDArray[Any], ...]]:
        """An epoch's batches in a random order; each is made while the one before it is trained on."""
        return made_ahead(self._batches(generator))

    def _batches(self, generator: np.random.Generator) -> Iterator[tuple[NDArray[Any], ...]]:
        """Equal parts of a random order, as many on every rank; a rank that runs short gives an empty one."""
        order = generator.permutation(np.flatnonzero(generator.random(len(self.windows)) < self.shares))
        cut = slice(self.share.context - self.kept, None)
        for rows in np.array_split(order, self.steps):
            part = self.windows.take(rows)
            given = window_tensors.tensors(part, self.share.norm, self.share.inputs)
            weight = window_targets.weights(part, self.share.least_sales, self.held_out)
            weight *= window_targets.recency(part, self.hyper.recency_half_life)[..., None]
            yield (
                given.history[:, cut], given.planned[:, cut], given.statics, given.started[:, cut],
                given.scale[:, cut], window_targets.targets(part)[:, cut], weight[:, cut],
            )  # fmt: skip

    def _one_step(
        self, history: Any, planned: Any, statics: Any, started: Any, scale: Any, target: Any, weight: Any
    ) -> Any:
        trained = self.network.trainable_variables
        positions = tf.where(tf.reduce_any(weight > 0.0, -1))  # nothing is decoded where nothing is learnt
        scale, target, weight = (tf.gather_nd(each, positions) for each in (scale, target, weight))
        positions = tf.cast(positions, tf.int32)
        with tf.GradientTape() as tape:
            raw = self.network((history, planned, statics, started), training=True, positions=positions)
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
        return validate(self.share.windows, self.share.least_sales, self._forecast, self.collective)

    def _forecast(self, part: Windows, origin: int) -> tuple[Zinb, Traits]:
        """Distributions [N, H] made at position ``origin`` − 1, and what a correction may depend on."""
        given = window_tensors.tensors(part, self.share.norm, self.share.inputs)
        past = slice(self.share.context - self.kept, origin)
        inputs = (
            given.history[:, past], given.planned[:, past.start : origin + self.share.horizon], given.statics,
            given.started[:, past],
        )  # fmt: skip
        traits = window_tensors.traits(part, given, origin)
        return distribution_of(last_position(self.network, inputs), traits.scale[:, None]), traits


def _batch_signature(shape: forecaster.Shape) -> list[Any]:
    """Any number of series and positions: one trace serves every batch."""
    each = [None, None, shape.horizon]
    return [*forecaster.signature(shape), tf.TensorSpec([None, None]), tf.TensorSpec(each), tf.TensorSpec(each)]
