"""A small network that orders a user's candidates."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_HIDDEN = (64, 32)
_ROWS = 1 << 13  # candidates scored at once: what the layers pass on stays in the cache


class Ranker(keras.Model):
    """Candidate features → score.

    Args:
        mean, scale: [features] of the training candidates.
    """

    def __init__(self, mean: NDArray[Any], scale: NDArray[Any]) -> None:
        super().__init__(name="ranker")
        self.mean = tf.constant(mean, tf.float32)
        self.scale = tf.constant(scale, tf.float32)
        self.hidden = [keras.layers.Dense(units, activation="relu") for units in _HIDDEN]
        self.head = keras.layers.Dense(1)
        self(np.zeros((1, 1, len(mean)), np.float32))

    def call(self, features: Any) -> Any:
        """Scores [users, C] for features [users, C, features]."""
        x = (tf.convert_to_tensor(features) - self.mean) / self.scale
        for layer in self.hidden:
            x = layer(x)
        return self.head(x)[..., 0]

    def loss_sum(self, features: Any, real: Any, hits: Any) -> tuple[Any, Any]:
        """Binary cross-entropy, summed over the candidates of users with a hit.

        On Complete Journey a listwise softmax beside it made lists worse by a hundredth.

        Args:
            features: [users, C, features].
            real: [users, C] bool, false for padding.
            hits: [users, C] bool, whether the user then bought the candidate.

        Returns:
            the sum over users and the number of users.
        """
        scores = self(features)
        mask, label = tf.cast(real, tf.float32), tf.cast(hits, tf.float32)
        binary = tf.nn.sigmoid_cross_entropy_with_logits(label, scores) * mask
        return tf.reduce_sum(binary), tf.cast(tf.shape(scores)[0], tf.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that was learnt, by name."""
        weights = {str(place): np.array(value) for place, value in enumerate(self.weights)}
        return {"mean": np.array(self.mean), "scale": np.array(self.scale), **weights}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Ranker":
        """What :meth:`arrays` gave."""
        found = cls(arrays["mean"], arrays["scale"])
        found.set_weights([arrays[str(place)] for place in range(len(found.weights))])
        return found

    def scores(self, features: NDArray[Any]) -> NDArray[Any]:
        """[candidates] float32 for features [candidates, features]: the same network, without TensorFlow's copies."""
        layers = [[np.array(v) for v in (layer.kernel, layer.bias)] for layer in [*self.hidden, self.head]]
        mean, scale = np.array(self.mean), np.array(self.scale)
        (first, shift), *others = layers
        layers = [[first / scale[:, None], shift - (mean / scale) @ first], *others]
        found = np.empty(len(features), np.float32)
        for start in range(0, len(features), _ROWS):
            part = slice(start, start + _ROWS)
            x = features[part]
            for kernel, bias in layers[:-1]:
                x = x @ kernel
                x += bias
                np.maximum(x, 0, out=x)
            kernel, bias = layers[-1]
            found[part] = np.einsum("pf,f->p", x, kernel[:, 0]) + bias
        return found
