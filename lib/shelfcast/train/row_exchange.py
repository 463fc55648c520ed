"""Joins the ranks' gradients of tables by the rows that a step touched, each row once.

A rank merges its own duplicates before anything travels: an item is an input, a target and a negative of one batch,
and a popular one is so often. Then one allgather carries everything, whatever the number of tables: a matrix with the
row's number, its bits taken for a float32, and the row's gradient in each table. What several ranks touched is merged
again on arrival, in the order of the ranks, so that all end with the same bits.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def joined(gradients: Sequence[Any], hvd: Any = None, name: str = "joined_rows") -> list[Any]:
    """The ranks' gradients of some tables of one height, summed.

    Args:
        gradients: tf.IndexedSlices of tables with equally many rows, any width; a row may occur often.
        hvd: ``horovod.tensorflow``; None for a rank that is alone.
        name: of the exchange, the same on every rank.

    Returns:
        tf.IndexedSlices of the same tables. All name the same rows, ascending, each once: those that any rank touched
        in any of the tables.
    """
    numbers, values = _merged([g.indices for g in gradients], [_matrix(g.values) for g in gradients])
    if hvd is not None:
        packed = hvd.allgather(tf.concat([tf.bitcast(numbers, tf.float32)[:, tf.newaxis], *values], 1), name=name)
        widths = [1, *(value.shape[1] for value in values)]
        bits, *values = tf.split(packed, widths, 1)
        numbers = tf.bitcast(tf.squeeze(bits, 1), tf.int32)
        numbers, values = _merged([numbers], values)
    return [
        tf.IndexedSlices(tf.reshape(value, [-1, *g.values.shape[1:]]), numbers, g.dense_shape)
        for value, g in zip(values, gradients, strict=True)
    ]


def _merged(numbers: Sequence[Any], values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Each number once, ascending, and the sums of its rows in each of ``values`` [rows, width]. One list of numbers
    stands for all the values, else each has its own.
    """
    found, places = tf.unique(tf.cast(tf.concat(numbers, 0), tf.int32))
    order = tf.argsort(found)  # neighbours in memory are read and written one after another
    places = tf.gather(tf.math.invert_permutation(order), places)
    own = tf.split(places, [tf.size(n) for n in numbers]) if len(numbers) > 1 else [places] * len(values)
    height = tf.size(found)
    sums = [tf.math.unsorted_segment_sum(v, at, height) for v, at in zip(values, own, strict=True)]
    return tf.gather(found, order), sums


def _matrix(values: Any) -> Any:
    """[rows, width] of the rows of a table of any rank."""
    values = tf.convert_to_tensor(values)
    return tf.reshape(values, [-1, values.shape[1:].num_elements()])
