"""Optimises the sequence model over all ranks: sampled softmax, averaged weights, epochs chosen on what came next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequences import Pieces
from shelfcast.models.sizes import Sizes
from shelfcast.settings import Recommender as Options
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective

_AVERAGE = 0.995  # a step, for batches of _AVERAGE_TARGETS
_AVERAGE_TARGETS = 1000
_STEADY_EPOCHS = 5
_DECAY = 0.85
_WARM_STEPS = 20
_SPARSE_BELOW = 0.5  # share of the table's rows that a joined step touches


@dataclass
class Fit:
    """One optimisation of one model.

    Attributes:
        name: phase, part of the seed and of the checkpoint.
        pieces: this rank's training sequences.
        validate: NDCG over all ranks of the model as it is; None where there is nothing to validate on.
    """

    name: str
    model: SequenceRecommender
    pieces: Pieces
    negatives: Negatives
    options: Options
    sizes: Sizes
    seed: int
    collective: Collective
    checkpoint: Checkpoint
    validate: Callable[[], float] | None = None
    log: Callable[[str, float, int], None] | None = None
    values: list[float] = field(default_factory=list)

    def run(self, epochs: int) -> int:
        """Train for ``epochs``, or fewer where validation stops improving for ``patience`` epochs.

        Returns:
            the number of epochs whose averaged weights the model now holds.
        """
        model, patience = self.model, self.sizes.patience
        variables = list(model.trainable_variables)
        optimizer = keras.optimizers.AdamW(self.sizes.learning_rate, weight_decay=self.options.weight_decay)
        optimizer.build(variables)
        average = [tf.Variable(v.value, trainable=False) for v in variables]
        best = [tf.Variable(v.value, trainable=False) for v in variables]
        self.collective.share([*variables, *average, *best])
        state = self.checkpoint.restore(self.collective, [*variables, *optimizer.variables, *average, *best])
        begun = state is not None and state["phase"] == self.name
        done, chosen = (int(state["epoch"]), int(state["chosen"])) if begun and state else (0, 0)
        self.values = list(state["values"]) if begun and state else []
        step = self._step(variables, optimizer, average)
        for epoch in range(done, epochs):
            if self.validate is not None and epoch - chosen >= patience:
                break
            loss = self._epoch(epoch, step, optimizer)
            value = self._validated(variables, average)
            self._note("loss", loss, epoch)
            self.collective.say(_line(self.name, epoch, loss, value))
            if value is None or value > max(self.values, default=-1.0):
                chosen = epoch + 1
                _assign(best, average)
            if value is not None:
                self.values.append(value)
                self._note("ndcg@10", value, epoch)
            now = {"phase": self.name, "epoch": epoch + 1, "chosen": chosen, "values": self.values}
            self.checkpoint.save(self.collective, [*variables, *optimizer.variables, *average, *best], now)
        _assign(variables, best)
        return chosen

    def _note(self, what: str, value: float, epoch: int) -> None:
        if self.log is not None:
            self.log(f"{self.name}/{what}", value, epoch)

    def _validated(self, variables: Sequence[Any], average: Sequence[Any]) -> float | None:
        """NDCG with the averaged weights; the model keeps its own."""
        if self.validate is None:
            return None
        own = [tf.identity(v.value) for v in variables]
        _assign(variables, average)
        value = self.validate()
        _assign(variables, own)
        return value

    def _epoch(self, epoch: int, step: Callable[..., Any], optimizer: Any) -> float:
        """One pass over this rank's pieces, as many steps on every rank; mean loss over all ranks."""
        sizes, collective = self.sizes, self.collective
        phase = sum(self.name.encode())
        rng = np.random.default_rng([self.seed, phase, epoch, collective.rank])
        plan = self.pieces.plan(rng, sizes.batch_targets, sizes.epoch_targets // collective.size)
        steps = max(collective.gather(len(plan)))
        rate = sizes.rate(collective.size) * _DECAY ** max(epoch + 1 - _STEADY_EPOCHS, 0)
        total, weight = 0.0, 0.0
        for number in range(steps):
            optimizer.learning_rate.assign(rate * min(1.0, (epoch * steps + number + 1) / _WARM_STEPS))
            batch = self.pieces.batch(plan[number % len(plan)]) if plan else (np.zeros((1, 1), np.int32),) * 4
            drawn, log_expected = self.negatives.draw(rng, sizes.negatives)
            loss, count = step(*(tf.constant(a) for a in (*batch, drawn, log_expected)))
            total, weight = total + float(loss), weight + float(count)
        total, weight = collective.sum([total, weight])
        return float(total / max(weight, 1.0))

    def _step(self, variables: Sequence[Any], optimizer: Any, average: Sequence[Any]) -> Callable[..., Any]:
        collective, options, sizes, model = self.collective, self.options, self.sizes, self.model
        touched = collective.size * (2 * sizes.batch_targets + sizes.negatives)
        dense = touched > _SPARSE_BELOW * model.shape.items
        keep = _AVERAGE ** (sizes.batch_targets * collective.size / _AVERAGE_TARGETS)

        def step(numbers: Any, contexts: Any, targets: Any, before: Any, drawn: Any, log_expected: Any) -> Any:
            with tf.GradientTape() as tape:
                loss, count = model.loss_sum(numbers, contexts, targets, before, drawn, log_expected)
            gradients = tape.gradient(
                loss, [v.value for v in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            sent = [shaped(g, v, dense) for g, v in zip(gradients, variables, strict=True)]
            joined, _ = collective.join(sent, count)
            whole, _ = tf.clip_by_global_norm([tf.convert_to_tensor(g) for g in joined], options.clip_norm)
            optimizer.apply(whole, variables)
            steps = tf.cast(optimizer.iterations.value, tf.float32)
            share = 1 - tf.minimum(keep, (1 + steps) / (10 + steps))
            for mean, variable in zip(average, variables, strict=True):
                mean.assign_add((variable.value - mean) * share)
            return loss, count

        compiled: Callable[..., Any] = tf.function(step, reduce_retracing=True)
        return compiled


def shaped(gradient: Any, variable: Any, dense: bool = True) -> Any:
    """The gradient with its variable's static shape; rows of a table stay rows unless ``dense``."""
    if isinstance(gradient, tf.IndexedSlices) and not dense:
        return gradient
    return tf.reshape(tf.convert_to_tensor(gradient), variable.shape)


def _assign(targets: Sequence[Any], sources: Sequence[Any]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.assign(source)


def _line(name: str, epoch: int, loss: float, value: float | None) -> str:
    ending = "" if value is None else f", validation NDCG@10 {value:.4f}"
    return f"sequence model ({name}), epoch {epoch + 1}: loss {loss:.3f}{ending}"
