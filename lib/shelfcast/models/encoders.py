"""What reads a user's items in order: one state after each of them, from that item and those before it alone."""

from typing import Any, Literal

import keras
import tensorflow as tf

Encoder = Literal["lstm", "attention"]

_BLOCKS = 2
_HEADS = 2
_SPREAD = 0.02  # of the initial positions


class LstmEncoder(keras.layers.Layer):
    """One LSTM.

    Args:
        dim: of inputs and states.
        units: of the LSTM.
    """

    def __init__(self, dim: int, units: int) -> None:
        super().__init__(name="lstm_encoder")
        self.lstm = keras.layers.LSTM(units, return_sequences=True, name="lstm")
        self.state = keras.layers.Dense(dim, name="state")

    def call(self, x: Any, training: bool = False) -> Any:
        """States [batch, T, dim] for inputs [batch, T, dim]."""
        return self.state(self.lstm(x, training=training))


class AttentionEncoder(keras.layers.Layer):
    """Blocks of causal self-attention with learned positions (Kang & McAuley 2018, SASRec).

    Args:
        dim: of inputs and states.
        units: of the blocks.
        length: positions there can be.
        dropout: of attention and feed-forward outputs.
    """

    def __init__(self, dim: int, units: int, length: int, dropout: float) -> None:
        super().__init__(name="attention_encoder")
        self.inner = keras.layers.Dense(units, name="inner")
        self.positions = keras.layers.Embedding(
            length, units, embeddings_initializer=keras.initializers.RandomNormal(stddev=_SPREAD), name="positions"
        )
        self.blocks = [_Block(units, dropout, f"block_{number}") for number in range(_BLOCKS)]
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.state = keras.layers.Dense(dim, name="state")

    def call(self, x: Any, training: bool = False) -> Any:
        """States [batch, T, dim] for inputs [batch, T, dim]; T is at most ``length``."""
        z = self.inner(x) + self.positions(tf.range(tf.shape(x)[1]))
        for block in self.blocks:
            z = block(z, training=training)
        return self.state(self.norm(z))


class _Block(keras.layers.Layer):
    """Attention to what came before, then a feed-forward network; each on normalised inputs and added to them."""

    def __init__(self, units: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.before = keras.layers.LayerNormalization()
        self.attention = keras.layers.MultiHeadAttention(_HEADS, max(units // _HEADS, 1), dropout=dropout)
        self.between = keras.layers.LayerNormalization()
        self.wide = keras.layers.Dense(2 * units, activation="gelu")
        self.narrow = keras.layers.Dense(units)
        self.dropout = keras.layers.Dropout(dropout)

    def call(self, z: Any, training: bool = False) -> Any:
        normal = self.before(z)
        z = z + self.dropout(self.attention(normal, normal, use_causal_mask=True, training=training), training=training)
        return z + self.dropout(self.narrow(self.wide(self.between(z))), training=training)


def encoder(kind: Encoder, dim: int, units: int, length: int, dropout: float) -> keras.layers.Layer:
    """The chosen one; ``length`` and ``dropout`` are the attention's."""
    if kind == "attention":
        return AttentionEncoder(dim, units, length, dropout)
    return LstmEncoder(dim, units)
