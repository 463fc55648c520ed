"""Optimises the sequence model over all ranks: sampled softmax, averaged weights, epochs chosen on what came next."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequences import Pieces
from shelfcast.models.sizes import Sizes
from shelfcast.settings import Recommender as Options
from shelfcast.train.batches import made_ahead
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.large_tables import by_rows
from shelfcast.train.row_optimizer import AveragedAdamW

_AVERAGE = 0.995  # a step, for batches of _AVERAGE_TARGETS
_AVERAGE_TARGETS = 1000
_STEADY_EPOCHS = 5
_DECAY = 0.85
_WARM_STEPS = 20


@dataclass
class Fit:
    """One optimisation of one model.

    Attributes:
        name: phase, part of the seed and of the checkpoint.
        pieces: this rank's training sequences.
        validate: NDCG over all ranks of the model as it is; None where there is nothing to validate on.
        gradients: ``rows`` where large tables travel and move by their touched rows, else ``dense``.
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
    gradients: str = "dense"

    def run(self, epochs: int) -> int:
        """Train for ``epochs``, or fewer where validation stops improving for ``patience`` epochs.

        Returns:
            the number of epochs whose averaged weights the model now holds.
        """
        model, patience = self.model, self.sizes.patience
        variables = list(model.trainable_variables)
        self.collective.share(variables)
        optimizer = self.optimizer(variables)
        best = [tf.Variable(v.value, trainable=False) for v in variables]
        kept = [*variables, *optimizer.variables, *best]
        state = self.checkpoint.restore(self.collective, kept, self.name)
        done, chosen = (int(state["epoch"]), int(state["chosen"])) if state else (0, 0)
        self.values = list(state["values"]) if state else []
        step = self.step(variables, optimizer)
        for epoch in range(done, epochs):
            if self.validate is not None and epoch - chosen >= patience:
                break
            loss = self._epoch(epoch, step, optimizer)
            optimizer.settle()
            value = self._validated(optimizer)
            self._note("loss", loss, epoch)
            self.collective.say(_line(self.name, epoch, loss, value))
            if value is None or value > max(self.values, default=-1.0):
                chosen = epoch + 1
                _assign(best, optimizer.average)
            if value is not None:
                self.values.append(value)
                self._note("ndcg@10", value, epoch)
            now = {"phase": self.name, "epoch": epoch + 1, "chosen": chosen, "values": self.values}
            self.checkpoint.save(self.collective, kept, now)
        _assign(variables, best)
        return chosen

    def _note(self, what: str, value: float, epoch: int) -> None:
        if self.log is not None:
            self.log(f"{self.name}/{what}", value, epoch)

    def _validated(self, optimizer: AveragedAdamW) -> float | None:
        """NDCG with the averaged weights; the model keeps its own."""
        if self.validate is None:
            return None
        optimizer.swap()
        value = self.validate()
        optimizer.swap()
        return value

    def _epoch(self, epoch: int, step: Callable[..., Any], optimizer: AveragedAdamW) -> float:
        """One pass over this rank's pieces, as many steps on every rank; mean loss over all ranks."""
        rate = self.sizes.rate(self.collective.size) * _DECAY ** max(epoch + 1 - _STEADY_EPOCHS, 0)
        totals = np.zeros(2)
        for batch in self.batches(epoch):
            optimizer.learning_rate.assign(rate * min(1.0, (optimizer.steps + 1) / _WARM_STEPS))
            totals += [float(value) for value in step(*batch)]
        total, weight = self.collective.sum(totals)
        return float(total / max(weight, 1.0))

    def batches(self, epoch: int) -> Iterator[tuple[NDArray[Any], ...]]:
        """What ``step`` takes, as often on every rank; made while the step before it is under way.

        All ranks take long and short pieces at the same steps, else each would wait for the other in turn.
        """
        sizes, ranks = self.sizes, self.collective.size
        seed = [self.seed, sum(self.name.encode()), epoch]
        rng = np.random.default_rng([*seed, self.collective.rank])
        plan = self.pieces.plan(rng, sizes.batch_targets, sizes.epoch_targets // ranks)
        plan.sort(key=lambda chosen: int(self.pieces.sizes[chosen].max()))
        steps = max(self.collective.gather(len(plan)))
        order = np.random.default_rng(seed).permutation(steps) * len(plan) // max(steps, 1)
        return made_ahead(self._batches([plan[place] for place in order] if plan else [None] * steps, rng))

    def _batches(self, plan: Sequence[Any], rng: np.random.Generator) -> Iterator[tuple[NDArray[Any], ...]]:
        for chosen in plan:
            batch = (np.zeros((1, 1), np.int32),) * 4 if chosen is None else self.pieces.batch(chosen)
            yield *batch, *self.negatives.draw(rng, self.sizes.negatives)

    def optimizer(self, variables: Sequence[Any]) -> AveragedAdamW:
        """What trains ``variables``; large tables by the rows that a step touches."""
        sizes, ranks = self.sizes, self.collective.size
        touched = ranks * (2 * sizes.batch_targets + sizes.negatives)
        tables = by_rows([tuple(v.shape) for v in variables], touched)
        self.gradients = "rows" if any(tables) else "dense"
        keep = _AVERAGE ** (sizes.batch_targets * ranks / _AVERAGE_TARGETS)
        return AveragedAdamW(variables, tables, sizes.learning_rate, self.options.weight_decay, keep)

    def step(self, variables: Sequence[Any], optimizer: AveragedAdamW) -> Callable[..., Any]:
        """A compiled step on what ``model.loss_sum`` takes: this rank's summed loss and number of targets."""
        collective, options, model = self.collective, self.options, self.model

        def step(*batch: Any) -> Any:
            with tf.GradientTape() as tape:
                loss, count = model.loss_sum(*batch)
            gradients = tape.gradient(
                loss, [v.value for v in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            sent = [
                g if rows else shaped(g, v) for g, v, rows in zip(gradients, variables, optimizer.by_rows, strict=True)
            ]
            joined, _ = collective.join(sent, count)
            clipped, _ = tf.clip_by_global_norm(joined, options.clip_norm)
            optimizer.apply(clipped)
            return loss, count

        compiled: Callable[..., Any] = tf.function(step, reduce_retracing=True)
        return compiled


def shaped(gradient: Any, variable: Any) -> Any:
    """The gradient as a tensor with its variable's static shape."""
    return tf.reshape(tf.convert_to_tensor(gradient), variable.shape)


def _assign(targets: Sequence[Any], sources: Sequence[Any]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.assign(source)


def _line(name: str, epoch: int, loss: float, value: float | None) -> str:
    ending = "" if value is None else f", validation NDCG@10 {value:.4f}"
    return f"sequence model ({name}), epoch {epoch + 1}: loss {loss:.3f}{ending}"
