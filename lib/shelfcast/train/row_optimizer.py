"""AdamW with a running average of the weights, which works on the touched rows of a table only.

Moments: Adam's moments of a row move when a step touches it, as in LazyAdam (TensorFlow Addons) and SparseAdam
(PyTorch): they are means over the steps in which the row took part, and what corrects their start is the number of all
steps. Dense Adam would let the moments of every other row fade, and move the row by what is left of them.

Weight decay and average: they act on every row at every step, touched or not, and a row without a gradient moves by
them alone. What it missed has a closed form, so it is made good when the row is next touched, and for all rows
before they are read (``settle``). Let step t multiply weights by d_t = 1 - rate_t · decay and take the average
A_t = k_t A_{t-1} + (1 - k_t) w_t; let D and K be the products of d and k so far, and M the average of a weight that
began as 1 and only decayed: M_t = k_t M_{t-1} + (1 - k_t) D_t. A row last touched at step a is at step t

    w_t = w_a D_t ÷ D_a,    A_t = A_a K_t ÷ K_a + w_a (M_t - M_a K_t ÷ K_a) ÷ D_a,

exactly, however rate and k changed meanwhile. A row keeps log D, log K and M of when it was touched: 24 bytes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shelfcast.train.collective import plain

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-7  # as Keras has them
_BLOCK = 1 << 15  # numbers of a table that are worked on at once: a step's dozen of such arrays stay in the cache
_START = (0.0, 0.0, 1.0)  # log D, log K, M


class AveragedAdamW:
    """Optimises Keras variables; the dense ones by ``keras.optimizers.AdamW``.

    Args:
        by_rows: of each variable, whether it is a table whose gradients come as tf.IndexedSlices, each row once.
        weight_decay: share of the weight, times the rate, taken off at each step.
        keep: share of the average that a step keeps; at step t at most (1 + t) ÷ (10 + t), so that it starts quickly.

    Attributes:
        average: of each variable, its average as a tf.Variable; rows are behind until ``settle`` is called.
    """

    def __init__(
        self, variables: Sequence[Any], by_rows: Sequence[bool], rate: float, weight_decay: float, keep: float
    ) -> None:
        self.by_rows, self.weight_decay, self.keep = list(by_rows), weight_decay, keep
        self.average = [tf.Variable(v.value, trainable=False) for v in variables]
        self._tables = [
            _Table(plain(v), mean) if rows else None
            for v, mean, rows in zip(variables, self.average, by_rows, strict=True)
        ]
        self._whole = [(v, m) for v, m, rows in zip(variables, self.average, by_rows, strict=True) if not rows]
        self._dense = keras.optimizers.AdamW(
            rate, beta_1=_FIRST, beta_2=_SECOND, epsilon=_EPSILON, weight_decay=weight_decay
        )
        self._dense.build([variable for variable, _ in self._whole])
        self._clock = tf.Variable(tf.constant([*_START, 0.0], tf.float64), trainable=False)  # and the number of steps

    @property
    def learning_rate(self) -> Any:
        return self._dense.learning_rate

    @property
    def steps(self) -> int:
        """How many were taken."""
        return int(self._clock.numpy()[3])

    @property
    def variables(self) -> list[Any]:
        """What a checkpoint must hold besides the weights, the averages included."""
        return [*self._dense.variables, *self.average, self._clock, *(v for t in self._present for v in t.state)]

    @property
    def _present(self) -> list["_Table"]:
        return [table for table in self._tables if table is not None]

    def apply(self, gradients: Sequence[Any]) -> None:
        """One step, inside or outside a tf.function.

        Args:
            gradients: of each variable: a tensor, or tf.IndexedSlices with distinct rows for a table by rows.
        """
        before = tf.identity(self._clock)
        rate = tf.convert_to_tensor(self.learning_rate)
        now = self._later(before, tf.cast(rate, tf.float64))
        share = tf.cast(1 - tf.exp(now[1] - before[1]), tf.float32)
        self._dense.apply([g for g, table in zip(gradients, self._tables, strict=True) if table is None])
        for variable, mean in self._whole:
            mean.assign_add((variable.value - mean) * share)
        steps = tf.cast(now[3], tf.float32)
        alpha = rate * tf.sqrt(1 - _SECOND**steps) / (1 - _FIRST**steps)
        for gradient, table in zip(gradients, self._tables, strict=True):
            if table is not None:
                table.move(gradient, before, now, alpha, share)
        self._clock.assign(now)

    def _later(self, clock: Any, rate: Any) -> Any:
        """The clock one step on."""
        steps = clock[3] + 1
        keep = tf.minimum(tf.constant(self.keep, tf.float64), (1 + steps) / (10 + steps))
        decayed = clock[0] + tf.math.log1p(-rate * self.weight_decay)
        return tf.stack([decayed, clock[1] + tf.math.log(keep), keep * clock[2] + (1 - keep) * tf.exp(decayed), steps])

    def settle(self) -> None:
        """Bring weights and averages of all rows up to now."""
        for table in self._present:
            table.settle(self._clock)

    def swap(self) -> None:
        """Exchange weights and averages, all rows being settled; nothing the size of a table is copied."""
        for variable, mean in self._whole:
            kept = tf.identity(mean)
            mean.assign(variable.value)
            variable.assign(kept)
        for table in self._present:
            table.swap()


class _Table:
    """A table's moments, and the clock of when each row was last touched.

    Args:
        weights, mean: tf.Variables [rows, ...]; read by row only, since a whole read copies them.
    """

    def __init__(self, weights: Any, mean: Any) -> None:
        self.weights, self.mean = weights, mean
        self.first = tf.Variable(tf.zeros(weights.shape), trainable=False)
        self.second = tf.Variable(tf.zeros(weights.shape), trainable=False)
        self.seen = tf.Variable(np.tile(np.array(_START), (weights.shape[0], 1)), trainable=False)
        self.state = [self.first, self.second, self.seen]
        self._factor = [-1] + [1] * (len(weights.shape) - 1)
        self._block = max(_BLOCK // weights.shape[1:].num_elements(), 1)
        self.settle = tf.function(self._settle)
        self.swap = tf.function(self._swap)

    def move(self, gradient: Any, before: Any, now: Any, alpha: Any, share: Any) -> None:
        """Adam's step for the rows of a gradient.

        Args:
            before, now: the clock before the step and after it.
            alpha: rate with the correction for the moments' start.
            share: of this step in the average.

        Raises:
            TypeError: if the gradient is no tf.IndexedSlices.
        """
        if not isinstance(gradient, tf.IndexedSlices):
            raise TypeError(
                f"table {tuple(self.weights.shape)} moves by rows, but its gradient is whole: "
                "the model reads all of it in a step; let it read rows by tf.gather"
            )

        def block(start: Any, end: Any) -> None:
            rows, values = gradient.indices[start:end], gradient.values[start:end]
            weight, mean = self._caught_up(rows, now, before)
            first = tf.gather(self.first, rows)
            first += (values - first) * (1 - _FIRST)
            second = tf.gather(self.second, rows)
            second += (tf.square(values) - second) * (1 - _SECOND)
            weight -= first * alpha / (tf.sqrt(second) + _EPSILON)
            mean += (weight - mean) * share
            pairs = [(self.weights, weight), (self.mean, mean), (self.first, first), (self.second, second)]
            self._put(rows, pairs, now)

        self._in_blocks(tf.size(gradient.indices), block)

    def _settle(self, clock: Any) -> None:
        def block(start: Any, end: Any) -> None:
            rows = tf.range(start, end)
            weight, mean = self._caught_up(rows, clock, clock)
            self._put(rows, [(self.weights, weight), (self.mean, mean)], clock)

        self._in_blocks(tf.constant(self.weights.shape[0]), block)

    def _swap(self) -> None:
        def block(start: Any, end: Any) -> None:
            rows = tf.range(start, end)
            weight, mean = tf.gather(self.weights, rows), tf.gather(self.mean, rows)
            self.weights.scatter_update(tf.IndexedSlices(mean, rows))
            self.mean.scatter_update(tf.IndexedSlices(weight, rows))

        self._in_blocks(tf.constant(self.weights.shape[0]), block)

    def _in_blocks(self, count: Any, block: Callable[[Any, Any], None]) -> None:
        """Call ``block`` with start and end of each part of ``count`` rows."""

        def body(start: Any) -> Any:
            end = tf.minimum(start + self._block, count)
            block(start, end)
            return (end,)

        tf.while_loop(lambda start: start < count, body, (tf.constant(0),), parallel_iterations=1)

    def _caught_up(self, rows: Any, decayed: Any, averaged: Any) -> tuple[Any, Any]:
        """Weights of untouched rows when the clock is ``decayed``, and their averages when it is ``averaged``."""
        weight, mean, seen = (tf.gather(v, rows) for v in (self.weights, self.mean, self.seen))
        log_decay, log_keep, decaying = tf.unstack(seen, axis=1)
        keep = tf.exp(averaged[1] - log_keep)
        drawn = (averaged[2] - decaying * keep) * tf.exp(-log_decay)
        mean = mean * self._shaped(keep) + weight * self._shaped(drawn)
        return weight * self._shaped(tf.exp(decayed[0] - log_decay)), mean

    def _shaped(self, factors: Any) -> Any:
        return tf.cast(tf.reshape(factors, self._factor), tf.float32)

    def _put(self, rows: Any, pairs: Sequence[tuple[Any, Any]], clock: Any) -> None:
        for variable, values in pairs:
            variable.scatter_update(tf.IndexedSlices(values, rows))
        seen = tf.repeat(clock[tf.newaxis, :3], tf.size(rows), 0)
        self.seen.scatter_update(tf.IndexedSlices(seen, rows))
