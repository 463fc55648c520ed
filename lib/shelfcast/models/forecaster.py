"""The demand forecaster: a stacked LSTM over the history, a direct decoder over what is planned, two heads.

At every position of the history it forecasts the next H periods (forking sequences, Wen et al. 2017, A multi-horizon
quantile recurrent forecaster). The distribution head is a zero-inflated negative binomial, the mean head is trained on
the Tweedie deviance; both are in units of the position's scale.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import tensorflow as tf

LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION = -5.0, 4.0
SHUT = -50.0  # what padding adds to a gate
START = -2.0  # logit of the zero share before training
LOG_RATIO = 6.0  # a forecast lies within e^±6 of the scale
HEADS = 4  # logit of the zero share, log mean ÷ scale and log dispersion of the counts, log Tweedie mean ÷ scale


@dataclass(frozen=True)
class Shape:
    """What fixes the network's weights.

    Attributes:
        inputs: channels of the history, ``started`` included.
        planned: channels known for the future.
        horizon: periods forecast.
        vocabularies: number of values per static column, the rare bucket included.
        embeddings: dimensions per static column.
        units, layers, dense, dropout: as in the configuration.
    """

    inputs: int
    planned: int
    horizon: int
    vocabularies: dict[str, int]
    embeddings: dict[str, int]
    units: int
    layers: int
    dense: int
    dropout: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(stored: Mapping[str, Any]) -> "Shape":
        return Shape(**stored)


class Encoder(keras.layers.Layer):
    """An LSTM over left-padded sequences as one fused operation, state zero until a sequence starts.

    The weights are those of ``keras.layers.LSTM``. TensorFlow's BlockLSTM runs forward and backward in about two
    thirds of the time of Keras' loop on a CPU core; it knows no mask, so padding shuts the gates instead: with input,
    forget and output gate at sigmoid(-50) the state stays 0 whatever is put in.

    Call with (sequence [N, T, F], padding [N, T, 1], 1 before the start). Returns [N, T, units].
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.cell = keras.layers.LSTMCell(units)

    def build(self, sequence: Any) -> None:
        self.cell.build((None, sequence[-1]))

    def call(self, sequence: Any, padding: Any) -> Any:
        cell, units = self.cell, self.cell.units
        columns = 2 - cell.kernel.shape[0] % 2  # the operation is slow on an odd number of inputs
        shut = tf.constant([[SHUT / columns] * 2 * units + [0.0] * units + [SHUT / columns] * units] * columns)
        weights = tf.concat([cell.kernel, shut, cell.recurrent_kernel], 0)
        batch = tf.shape(sequence)[0]
        nothing, peephole = tf.zeros([batch, units]), tf.zeros([units])
        inputs = tf.transpose(tf.concat([sequence, *[padding] * columns], -1), [1, 0, 2])
        found = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.shape(sequence, tf.int64)[1], x=inputs, cs_prev=nothing, h_prev=nothing,
            w=_icfo(weights), wci=peephole, wcf=peephole, wco=peephole,
            b=_icfo(cell.bias), forget_bias=0.0, cell_clip=-1.0, use_peephole=False,
        )  # fmt: skip
        return tf.transpose(found.h, [1, 0, 2])


def _icfo(weights: Any) -> Any:
    """Keras' order of gates (input, forget, candidate, output) to BlockLSTM's; BlockLSTMV2 knows Keras' order, but its
    gradient is wrong (TensorFlow 2.18).
    """
    enter, forget, candidate, leave = tf.split(weights, 4, -1)
    return tf.concat([enter, candidate, forget, leave], -1)


class Forecaster(keras.Model):
    """The network; plain Keras, nothing of Spark or Horovod.

    Call with (history [N, T, inputs], planned [N, T + H, planned], statics [N, S] int or, as ``embed`` gives them,
    float, started [N, T] bool) and the positions to decode: all, the last with ``last=True``, or ``positions`` [M, 2]
    (series, position).

    Returns:
        raw heads (see HEADS): [N, T, H, 4], [N, 1, H, 4] or [M, H, 4].
    """

    def __init__(self, shape: Shape, **options: Any) -> None:
        super().__init__(**options)
        self.shape = shape
        layers = keras.layers
        self.encoder = [Encoder(shape.units, name=f"lstm_{index}") for index in range(shape.layers)]
        self.dropout = layers.Dropout(shape.dropout, name="dropout")
        self.embeddings = [
            layers.Embedding(shape.vocabularies[name], size, name=f"embed_{name}")
            for name, size in shape.embeddings.items()
        ]
        self.state = layers.Dense(shape.dense, name="state")
        self.static_state = layers.Dense(shape.dense, use_bias=False, name="static_state")
        self.per_horizon = layers.Dense(shape.units * shape.horizon, name="per_horizon")
        self.future = layers.Dense(shape.units, use_bias=False, name="future")
        self.hidden = layers.Dense(shape.units, activation="relu", name="hidden")
        # Zero kernel: an untrained network forecasts the scale itself, the window average.
        self.heads = layers.Dense(HEADS, kernel_initializer="zeros", name="heads")

    def call(self, inputs: Any, training: bool = False, last: bool = False, positions: Any = None) -> Any:
        history, planned, statics, started = inputs
        padding = 1.0 - tf.cast(started, tf.float32)[..., None]
        encoded = history
        for index, layer in enumerate(self.encoder):
            if index:
                encoded = self.dropout(encoded, training=training)
            encoded = layer(encoded, padding)
        encoded = tf.concat([encoded, history], -1)
        embedded = self.static_state(self.embed(statics) if statics.dtype.is_integer else statics)
        steps = tf.shape(history)[1]
        if positions is not None:
            ahead = positions[:, 1:] + tf.range(1, self.shape.horizon + 1)[None]
            series = tf.broadcast_to(positions[:, :1], tf.shape(ahead))
            future = tf.gather_nd(planned, tf.stack([series, ahead], -1))
            encoded, embedded = tf.gather_nd(encoded, positions), tf.gather(embedded, positions[:, 0])
        else:
            future = tf.stack([planned[:, 1 + h : 1 + h + steps] for h in range(self.shape.horizon)], 2)
            if last:
                encoded, future = encoded[:, -1:], future[:, -1:]
            embedded = embedded[:, None]
        return self._decode(tf.nn.relu(self.state(encoded) + embedded), future)

    def embed(self, statics: Any) -> Any:
        """[N, S] numbers → [N, sum of dimensions]; one constant column where no static is used."""
        if not self.embeddings:
            return tf.zeros([tf.shape(statics)[0], 1])
        return tf.concat([layer(statics[:, place]) for place, layer in enumerate(self.embeddings)], -1)

    def _decode(self, state: Any, future: Any) -> Any:
        """[..., dense] and [..., H, planned] → [..., H, 4]."""
        shape = tf.concat([tf.shape(state)[:-1], [self.shape.horizon, self.shape.units]], 0)
        each = tf.reshape(self.per_horizon(state), shape)
        return self.heads(self.hidden(tf.nn.relu(each + self.future(future))))


def signature(shape: Shape) -> list[Any]:
    """Of the network's four inputs, for any number of series and positions."""
    return [
        tf.TensorSpec([None, None, shape.inputs]),
        tf.TensorSpec([None, None, shape.planned]),
        tf.TensorSpec([None, len(shape.embeddings)], tf.int32),
        tf.TensorSpec([None, None], tf.bool),
    ]


def built(shape: Shape, seed: int) -> Forecaster:
    """A network with initial weights; the same seed gives the same ones."""
    keras.utils.set_random_seed(seed)
    network = Forecaster(shape, name="forecaster")
    one = tf.zeros([1, 2, shape.inputs]), tf.zeros([1, 2 + shape.horizon, shape.planned])
    network((*one, tf.zeros([1, len(shape.embeddings)], tf.int32), tf.ones([1, 2], tf.bool)))
    return network


def parameters(raw: Any, scale: Any) -> tuple[Any, Any, Any, Any]:
    """Raw heads [..., H, 4] and scale [...] → logit of zero share, mean, dispersion, Tweedie mean, each [..., H]."""
    size = scale[..., None]
    # Before training the whole distribution's mean, (1 − π)·mean, is the scale.
    mean = size * (1.0 + math.exp(START)) * tf.exp(tf.clip_by_value(raw[..., 1], -LOG_RATIO, LOG_RATIO))
    dispersion = tf.exp(tf.clip_by_value(raw[..., 2], LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION))
    tweedie = size * tf.exp(tf.clip_by_value(raw[..., 3], -LOG_RATIO, LOG_RATIO))
    return raw[..., 0] + START, mean, dispersion, tweedie


def negative_log_likelihood(target: Any, logit: Any, mean: Any, dispersion: Any) -> Any:
    """Of the zero-inflated negative binomial, element by element."""
    size = 1.0 / dispersion
    log_empty = -size * tf.math.log1p(dispersion * mean)
    log_inflated, log_counted = tf.math.log_sigmoid(logit), tf.math.log_sigmoid(-logit)
    zero = tf.math.reduce_logsumexp(tf.stack([log_inflated, log_counted + log_empty], -1), -1)
    y = tf.maximum(target, 1.0)  # where it is 0 the other branch holds
    counted = tf.math.lgamma(y + size) - tf.math.lgamma(size) - tf.math.lgamma(y + 1.0) + log_empty
    counted += y * (tf.math.log(dispersion * mean) - tf.math.log1p(dispersion * mean))
    return -tf.where(target > 0.0, log_counted + counted, zero)


def tweedie_deviance(target: Any, mean: Any, power: float) -> Any:
    """Unit deviance for 1 < power < 2, less its part without ``mean``, element by element."""
    fit = tf.pow(mean, 2.0 - power) / (2.0 - power)
    return 2.0 * (fit + target * tf.pow(mean, 1.0 - power) / (power - 1.0))


def summed_loss(raw: Any, scale: Any, target: Any, weight: Any, power: float, mean_weight: float) -> tuple[Any, Any]:
    """Σ weight·(NLL + mean_weight·deviance) and Σ weight·NLL over a batch."""
    logit, mean, dispersion, tweedie = parameters(raw, scale)
    likelihood = tf.reduce_sum(weight * negative_log_likelihood(target, logit, mean, dispersion))
    deviance = tf.reduce_sum(weight * tweedie_deviance(target, tweedie, power))
    return likelihood + mean_weight * deviance, likelihood
