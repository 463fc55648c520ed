"""Learning rate: linear warm-up to a peak, then half a cosine down to zero (Loshchilov and Hutter 2017, SGDR)."""

import math
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="shelfcast")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Args: peak rate, steps of the whole run, share of them that warms up."""

    def __init__(self, peak: float, steps: int, warmup: float) -> None:
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step: Any) -> Any:
        warm = max(1.0, self.warmup * self.steps)
        now = tf.cast(step, tf.float32)
        falling = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value((now - warm) / max(1.0, self.steps - warm), 0.0, 1.0)))
        return self.peak * tf.where(now < warm, (now + 1.0) / warm, falling)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


def peak_for(rate: float, batches: float) -> float:
    """The peak for a joined batch of ``batches`` batches: Adam's noise scale asks for the square root (Malladi et al.
    2022, On the SDEs and scaling rules for adaptive gradient algorithms).
    """
    return rate * math.sqrt(batches)
