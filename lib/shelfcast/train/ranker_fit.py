"""Optimises the ranker over all ranks on what users did in earlier label windows."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models.candidates import Candidates
from shelfcast.models.ranker import Ranker
from shelfcast.train.collective import Collective
from shelfcast.train.sequence_fit import shaped

EPOCHS = 20
_USERS_A_STEP = 32
_RATE = 4e-3
_WEIGHT_DECAY = 0.1
_LEAST_SCALE = 1e-3

Block = tuple[Candidates, NDArray[Any]]


def fit(blocks: Sequence[Block], seed: int, collective: Collective) -> Ranker | None:
    """A ranker from this rank's candidates and hits [users, C]; None where no rank has a hit.

    Users without a hit teach nothing about order and are left out.
    """
    rows = [(block, row) for block, (_, hits) in enumerate(blocks) for row in np.flatnonzero(hits.any(1))]
    width = int(max(collective.gather(blocks[0][0].features.shape[1] if blocks else 0)))
    mean, scale, users = _moments([blocks[b][0] for b in range(len(blocks))], width, len(rows), collective)
    if not users:
        return None
    keras.utils.set_random_seed(seed)
    ranker = Ranker(mean, scale)
    variables = ranker.trainable_variables
    collective.share(variables)
    steps = int(max(collective.gather(-(-len(rows) // _USERS_A_STEP))))
    rate = keras.optimizers.schedules.CosineDecay(_RATE, EPOCHS * steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY)
    optimizer.build(variables)
    step = _step(ranker, optimizer, collective)
    for epoch in range(EPOCHS):
        rng = np.random.default_rng([seed, epoch, collective.rank])
        order = rng.permutation(len(rows))
        total = np.zeros(2)
        for number in range(steps):
            chosen = [rows[p] for p in order[number * _USERS_A_STEP : (number + 1) * _USERS_A_STEP]]
            total += [float(value) for value in step(*(tf.constant(a) for a in _batch(blocks, chosen, width)))]
        loss, count = collective.sum(total)
    collective.say(f"ranker: {users} users, loss {loss / max(count * len(ranker.networks), 1):.4f}")
    return ranker


def _step(ranker: Ranker, optimizer: Any, collective: Collective) -> Any:
    variables = ranker.trainable_variables

    def step(features: Any, real: Any, hits: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, count = ranker.loss_sum(features, real, hits)
        gradients = tape.gradient(loss, [v.value for v in variables])
        gradients, _ = collective.join([shaped(g, v) for g, v in zip(gradients, variables, strict=True)], count)
        optimizer.apply(gradients, variables)
        return loss, count

    return tf.function(step, reduce_retracing=True)


def _batch(blocks: Sequence[Block], chosen: Sequence[tuple[int, int]], width: int) -> tuple[NDArray[Any], ...]:
    """Features [users, C, width], real and hits [users, C] of some users, cut to the longest of their lists."""
    most = max((int(np.diff(blocks[b][0].offsets[r : r + 2])[0]) for b, r in chosen), default=1)
    features = np.zeros((len(chosen), most, width), np.float32)
    real, hits = np.zeros((len(chosen), most), bool), np.zeros((len(chosen), most), bool)
    for place, (block, row) in enumerate(chosen):
        found, then = blocks[block]
        own = slice(*found.offsets[row : row + 2])
        count = own.stop - own.start
        features[place, :count] = found.features[own]
        hits[place, :count] = then[row, :count]
        real[place, :count] = True
    return features, real, hits


def _moments(
    found: Sequence[Candidates], width: int, users: int, collective: Collective
) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Mean and scale [features] of all ranks' candidates, and the number of users with a hit."""
    sums = np.zeros((2, width))
    count = 0
    for block in found:
        rows = block.features.astype(np.float64)
        count += len(rows)
        sums += [rows.sum(0), (rows**2).sum(0)]
    whole = collective.sum(np.concatenate([sums.ravel(), [count, users]]))
    total, squares = whole[:width], whole[width : 2 * width]
    mean = total / max(whole[-2], 1)
    spread = np.sqrt(np.maximum(squares / max(whole[-2], 1) - mean**2, 0))
    return mean, np.where(spread > _LEAST_SCALE, spread, 1.0), int(whole[-1])
