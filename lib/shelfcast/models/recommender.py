"""The sequence recommender: tied, normalised item embeddings, and a user encoder with pooling over them."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models.encoders import Encoder, encoder
from shelfcast.models.sampled_softmax import sampled_softmax
from shelfcast.models.sequences import GAPS, Inputs

_POOLING_LIMIT = 8.0
_STATE_SHARE = 0.3
_COLDEST = 0.01  # lowest temperature


@dataclass(frozen=True)
class Architecture:
    """Sizes and parts of a sequence recommender.

    Attributes:
        items: number of known items; their numbers are 1 .. items, 0 is padding.
        encoder: of a user's items in order.
        dim: of the embeddings.
        units: of the encoder.
        length: most items of a user.
        dropout: share of the inputs' elements left out in training.
        temperature: initial τ.
        bias: whether items have a bias.
        kinds: event types that items' contexts tell apart; 0: there are no contexts.
        words: number of words that are said of items; 0: none are.
        identity_dropout: share of the items that are known by their words alone, in a step of the training.
    """

    items: int
    encoder: Encoder
    dim: int
    units: int
    length: int
    dropout: float
    temperature: float
    bias: bool
    kinds: int = 0
    words: int = 0
    identity_dropout: float = 0.0


class SequenceRecommender(keras.Model):
    """Scores every item as the next one of a user.

    A user after t items is u_t = Σ w_s x_s ÷ Σ w_s + g · x_t + .3 · Dense(z_t), where x are the items' normalised
    embeddings, z_t the encoder's state after them and log w_t = Dense(z_t). The score of an item is
    cosine(u_t, its embedding) ÷ τ, plus its bias where ``bias``; τ and g are learned.

    The embedding of an item is the sum of its own row and of the vectors of the words said of it. Now and then its own
    row is left out in training (as in DropoutNet, Volkovs et al. 2017), so that words alone place an item without one.

    Args:
        shape: what it is made of.
        said: [items, S] int32, the numbers of each item's words, 1 .. ``shape.words``, behind them 0; None without.
    """

    def __init__(self, shape: Architecture, said: NDArray[Any] | None = None) -> None:
        super().__init__(name="sequence_recommender")
        self.shape = shape
        said = np.zeros((shape.items, 0), np.int32) if said is None or not shape.words else said
        self.said = np.concatenate([np.zeros_like(said[:1]), said])
        self._said = tf.constant(self.said)  # a graph refers to it, where it would hold a copy of the array
        self.embedding = keras.layers.Embedding(
            shape.items + 1, shape.dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=shape.dim**-0.5),
            name="items",
        )  # fmt: skip
        spread = keras.initializers.RandomNormal(stddev=(shape.dim * max(self.said.shape[1], 1)) ** -0.5)
        self.words = (
            keras.layers.Embedding(shape.words + 1, shape.dim, embeddings_initializer=spread, name="words")
            if self.said.size
            else None
        )
        self.contexts = (
            keras.layers.Embedding(shape.kinds * GAPS + 1, shape.dim, embeddings_initializer="zeros", name="contexts")
            if shape.kinds
            else None
        )
        self.encoder = encoder(shape.encoder, shape.dim, shape.units, shape.length, shape.dropout)
        self.pooling = keras.layers.Dense(1, name="pooling")
        self.mix = keras.layers.Dense(shape.dim, name="mix")
        self.input_dropout = keras.layers.Dropout(shape.dropout)
        self.state_dropout = keras.layers.Dropout(shape.dropout)
        self.log_temperature = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(float(np.log(shape.temperature))), name="log_temperature"
        )
        self.recency = self.add_weight(shape=(), initializer="ones", name="recency")
        self.bias = self.add_weight(shape=(shape.items + 1,), initializer="zeros", name="bias", trainable=shape.bias)
        self.embedding.build()
        if self.words is not None:
            self.words.build()
        self(np.ones((1, 2), np.int32), np.ones((1, 2), np.int32))

    def call(self, numbers: Any, contexts: Any, training: bool = False) -> Any:
        """User vectors [batch, T, dim] of norm 1 after each of the items ``numbers`` [batch, T] in ``contexts``."""
        x, z, weight = self._read(numbers, contexts, training=training)
        pooled = tf.math.divide_no_nan(tf.cumsum(weight * x, 1), tf.cumsum(weight, 1))
        return self._joined(pooled, x, z, training=training)

    def _read(self, numbers: Any, contexts: Any, *, training: bool) -> tuple[Any, Any, Any]:
        """Inputs x and the encoder's states z [batch, T, dim], and the pooling's weights [batch, T, 1]."""
        numbers = tf.convert_to_tensor(numbers)
        x = self.input_dropout(_unit(self._embedded(numbers, training=training)), training=training)
        read = x * (self.shape.dim**0.5 / 2)
        if self.contexts is not None:
            read += self.contexts(contexts)
        z = self.encoder(read, training=training)
        weight = tf.exp(tf.clip_by_value(self.pooling(z), -_POOLING_LIMIT, _POOLING_LIMIT))
        return x, z, weight * tf.cast(numbers > 0, tf.float32)[:, :, tf.newaxis]

    def _embedded(self, numbers: Any, *, training: bool) -> Any:
        """Embeddings of items, [..., dim], not normalised."""
        own = tf.gather(self.embedding.embeddings.value, numbers)
        if self.words is None:
            return own
        said = tf.gather(self._said, numbers)
        there = tf.cast(said > 0, tf.float32)[..., tf.newaxis]
        if training:
            kept = tf.random.uniform(tf.shape(numbers)) >= self.shape.identity_dropout
            own *= tf.cast(kept | (said[..., 0] == 0), tf.float32)[..., tf.newaxis]
        return own + tf.reduce_sum(tf.gather(self.words.embeddings.value, said) * there, -2)

    def _joined(self, pooled: Any, x: Any, z: Any, *, training: bool) -> Any:
        state = self.state_dropout(self.mix(z), training=training)
        return _unit(pooled + self.recency * x + _STATE_SHARE * state)

    def loss_sum(
        self, numbers: Any, contexts: Any, targets: Any, before: Any, drawn: Any, log_expected: Any
    ) -> tuple[Any, Any]:
        """Sampled softmax of the next items, summed, and the number of targets.

        Args:
            numbers, contexts: [batch, T] inputs, 0 padding.
            targets: [batch, T] the items to predict, 0 where there is none.
            before: [batch, T] the input up to which each target is predicted.
            drawn, log_expected: negatives [negatives] and the logs of their expected counts.
        """
        real = targets > 0
        users = tf.boolean_mask(tf.gather(self(numbers, contexts, training=True), before, axis=1, batch_dims=1), real)
        wanted = tf.boolean_mask(targets, real)
        cold = tf.exp(-self.temperature_log())
        right = _unit(self._embedded(wanted, training=True))
        wrong = _unit(self._embedded(drawn, training=True))
        positive = tf.reduce_sum(users * right, 1) * cold
        negative = tf.matmul(users, wrong, transpose_b=True) * cold
        if self.shape.bias:
            positive += tf.gather(self.bias.value, wanted)
            negative += tf.gather(self.bias.value, drawn)[tf.newaxis, :]
        losses = sampled_softmax(positive, negative, log_expected, wanted, drawn)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

    def start_from_popularity(self, events: NDArray[Any]) -> None:
        """Begin with biases that rank by the items' numbers of events [items]; nothing where there is no bias.

        That of the padding, which never learns, is that of an item without events.
        """
        if self.shape.bias:
            logs = np.log(np.concatenate([[0], events]) + 1.0)
            self.bias.assign((logs - logs[1:].mean()).astype(np.float32))

    def temperature_log(self) -> Any:
        return tf.maximum(tf.convert_to_tensor(self.log_temperature), float(np.log(_COLDEST)))

    @tf.function(reduce_retracing=True)
    def last(self, numbers: Any, contexts: Any) -> Any:
        """User vectors [batch, dim] after the last real item of each row of ``numbers`` [batch, T]: as by ``call``, but
        nothing is worked out for the items before it that is not needed.
        """
        x, z, weight = self._read(numbers, contexts, training=False)
        pooled = tf.math.divide_no_nan(tf.reduce_sum(weight * x, 1), tf.reduce_sum(weight, 1))
        place = tf.maximum(tf.reduce_sum(tf.cast(numbers > 0, tf.int32), 1) - 1, 0)
        newest, state = (tf.gather(values, place, axis=1, batch_dims=1) for values in (x, z))
        return self._joined(pooled, newest, state, training=False)

    def users(self, inputs: Inputs) -> NDArray[Any]:
        """User vectors [users, dim] float32, one call; zeros for users without items."""
        if len(inputs) == 0:
            return np.zeros((0, self.shape.dim), np.float32)
        found = np.array(self.last(tf.constant(inputs.numbers), tf.constant(inputs.contexts)))
        found[inputs.numbers[:, 0] == 0] = 0
        return found

    def scoring(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Item vectors [items, dim] divided by τ, and biases [items]: a score is user · item + bias."""
        own = np.array(self.embedding.embeddings)[1:]
        return self._scaled(own + self._spoken(self.said[1:])), np.array(self.bias)[1:].astype(np.float32)

    def newcomers(self, said: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same for items that only have words [n, S]; nan for those without."""
        vectors = self._scaled(self._spoken(said))
        vectors[~(said > 0).any(1)] = np.nan
        return vectors, np.full(len(said), np.array(self.bias)[0], np.float32)

    def _spoken(self, said: NDArray[Any]) -> NDArray[Any]:
        """[n, dim] sums of the vectors of words [n, S]."""
        found = np.zeros((len(said), self.shape.dim), np.float32)
        if self.words is not None:
            table = np.array(self.words.embeddings)
            table[0] = 0
            for column in said.T:
                found += table[column]
        return found

    def _scaled(self, vectors: NDArray[Any]) -> NDArray[Any]:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-6) / float(tf.exp(self.temperature_log())), np.float32)


def _unit(vectors: Any) -> Any:
    return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-12)
