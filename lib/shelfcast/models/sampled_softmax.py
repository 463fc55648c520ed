"""Softmax over a sample of the items, corrected for how the sample was drawn.

Jean et al. 2015 (sampled softmax with logQ); half uniform, half by popularity, as recommended for large catalogues.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FAR = -1e9


@dataclass(frozen=True)
class Negatives:
    """Where negatives are drawn from.

    Attributes:
        cumulative: [items] running sum of the chance Q of item 1, 2, ...
        log_chance: [items] log Q.
    """

    cumulative: NDArray[Any]
    log_chance: NDArray[Any]

    @classmethod
    def mixed(cls, events: NDArray[Any], popularity_share: float) -> "Negatives":
        """Q = share · popularity + (1 - share) · uniform, from each item's number of events [items]."""
        total = max(float(events.sum()), 1.0)
        chance = popularity_share * events / total + (1 - popularity_share) / len(events)
        chance = chance / chance.sum()
        return cls(np.cumsum(chance), np.log(np.maximum(chance, 1e-30)))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Item numbers [count] int32, drawn independently, and the logs of their expected counts [count] float32."""
        places = np.searchsorted(self.cumulative, rng.random(count) * self.cumulative[-1], side="right")
        places = np.minimum(places, len(self.cumulative) - 1)
        return (places + 1).astype(np.int32), (self.log_chance[places] + np.log(count)).astype(np.float32)


def sampled_softmax(positive: Any, negative: Any, log_expected: Any, targets: Any, drawn: Any) -> Any:
    """[targets] minus log of the chance of each target among itself and the negatives.

    Subtracting log(expected count) makes the sum over negatives an unbiased estimate of the sum over all items. A
    negative that happens to be the target itself is left out.

    Args:
        positive: [targets] logits of the targets.
        negative: [targets, negatives] logits of the negatives.
        log_expected: [negatives] log of each negative's expected count in the sample.
        targets: [targets] item numbers.
        drawn: [negatives] item numbers.
    """
    import tensorflow as tf

    corrected = negative - log_expected[tf.newaxis, :]
    hit = tf.equal(targets[:, tf.newaxis], drawn[tf.newaxis, :])
    corrected = tf.where(hit, tf.constant(_FAR, corrected.dtype), corrected)
    everything = tf.concat([positive[:, tf.newaxis], corrected], 1)
    return tf.reduce_logsumexp(everything, 1) - positive
