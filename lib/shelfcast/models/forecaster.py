"""The demand forecaster: a stacked LSTM over the history, a direct decoder over what is planned, two heads.

At every position of the history it forecasts the next H periods (forking sequences, Wen et al. 2017, A multi-horizon
quantile recurrent forecaster). The distribution head is a zero-inflated negative binomial, the mean head is trained on
the Tweedie deviance; both are in units of the position's scale.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import tensorflow as tf

LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION = -5.0, 4.0
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


class Forecaster(keras.Model):
    """The network; plain Keras, nothing of Spark or Horovod.

    Call with (history [N, T, inputs], planned [N, T + H, planned], statics [N, S] int, started [N, T] bool).

    Returns:
        [N, T, H, 4] raw heads (see HEADS), or [N, 1, H, 4] for the last position alone with ``last=True``.
    """

    def __init__(self, shape: Shape, **options: Any) -> None:
        super().__init__(**options)
        self.shape = shape
        layers = keras.layers
        self.encoder = [
            layers.LSTM(shape.units, return_sequences=True, name=f"lstm_{index}") for index in range(shape.layers)
        ]
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

    def call(self, inputs: Any, training: bool = False, last: bool = False) -> Any:
        history, planned, statics, started = inputs
        encoded = history
        for index, layer in enumerate(self.encoder):
            if index:
                encoded = self.dropout(encoded, training=training)
            encoded = layer(encoded, mask=started)
        encoded = tf.concat([encoded, history], -1)
        embedded = tf.concat([layer(statics[:, place]) for place, layer in enumerate(self.embeddings)], -1)
        steps = tf.shape(history)[1]
        future = tf.stack([planned[:, 1 + h : 1 + h + steps] for h in range(self.shape.horizon)], 2)
        if last:
            encoded, future = encoded[:, -1:], future[:, -1:]
        state = tf.nn.relu(self.state(encoded) + self.static_state(embedded)[:, None])
        return self._decode(state, future)

    def _decode(self, state: Any, future: Any) -> Any:
        """[N, T, dense] and [N, T, H, planned] → [N, T, H, 4]."""
        lead = tf.shape(state)[:2]
        each = tf.reshape(self.per_horizon(state), [lead[0], lead[1], self.shape.horizon, self.shape.units])
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
    """Raw heads and scale [N, T] → logit of zero share, mean, dispersion, Tweedie mean, each [N, T, H]."""
    size = scale[..., None]
    mean = size * tf.exp(tf.clip_by_value(raw[..., 1], -LOG_RATIO, LOG_RATIO))
    dispersion = tf.exp(tf.clip_by_value(raw[..., 2], LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION))
    tweedie = size * tf.exp(tf.clip_by_value(raw[..., 3], -LOG_RATIO, LOG_RATIO))
    return raw[..., 0] - 2.0, mean, dispersion, tweedie


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
