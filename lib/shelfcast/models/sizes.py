"""Sizes of the sequence model by a rule from the log alone, for what the configuration leaves open.

The rule was fitted to two logs: Amazon Sports (296,000 events, 16 an item) and Complete Journey (1.4 million, 65 an
item). A log with few events an item is learnt by heart without strong dropout; one with few events in all affords more
dimensions, more epochs and several members, whose errors are not the same (Dietterich 2000). Ranks wait for each other
and for their gradients at every step, which grow with the table of items, so that a large one has larger batches.
"""

from dataclasses import asdict, dataclass
from math import log2
from typing import Any

from shelfcast.settings import Recommender

_SMALL = 500_000  # events
_MEMBER_EVENTS = 1_000_000  # of all members together
_MOST_MEMBERS = 4
_SPARSE_ITEM = 16  # events of an item
_SHORTEST, _LONGEST = 50, 200  # items of a history
_HISTORIES = 6  # mean histories that the longest one is, as a rule
_UNIT_TARGETS, _MOST_RATE = 1_000, 2.0
_ITEMS_A_TARGET, _LARGEST_BATCH = 64, 1 << 14
_TARGETS_AN_ITEM = 4  # of an epoch


@dataclass(frozen=True)
class Sizes:
    """What the rule decides; a value that the configuration gives stands.

    Attributes:
        members: sequence models whose scores are averaged.
        dim: of the item vectors.
        max_length: items of a training piece, and of a user when scored.
        dropout: of the inputs.
        item_bias: whether items have one.
        epochs, patience: most epochs, and how many without a better validation end the training.
        epoch_targets: of all ranks; an epoch is a random part of more.
        batch_targets: of one rank, padding counted.
        learning_rate: highest, for a joined batch of 1,000 targets; grows with the root of the batch, to
            its double at most.
        negatives: of a step.
    """

    members: int
    dim: int
    max_length: int
    dropout: float
    item_bias: bool
    epochs: int
    patience: int
    epoch_targets: int
    batch_targets: int
    learning_rate: float
    negatives: int

    def as_config(self) -> dict[str, Any]:
        return asdict(self)

    def rate(self, ranks: int) -> float:
        """The highest learning rate of ``ranks`` joined batches."""
        return float(self.learning_rate * min((self.batch_targets * ranks / _UNIT_TARGETS) ** 0.5, _MOST_RATE))


def sizes(options: Recommender, users: int, items: int, events: int) -> Sizes:
    """
    Args:
        options: the configuration; its nulls are decided here.
        users, items, events: of what the model learns from.
    """
    small, events = events < _SMALL, max(events, 1)
    dropout = 0.7 - 0.1 * log2(max(events / max(items, 1) / _SPARSE_ITEM, 1))
    longest = _HISTORIES * events / max(users, 1)
    ruled = {
        "members": min(max(round(_MEMBER_EVENTS / events), 1), _MOST_MEMBERS),
        "dim": 256 if small else 128,
        "max_length": int(min(max(longest, _SHORTEST), _LONGEST)),
        "dropout": round(max(dropout, 0.2), 2),
        "item_bias": not small,
        "epochs": 14 if small else 10,
        "patience": 2,
        "epoch_targets": max(_SMALL if small else 200_000, items * _TARGETS_AN_ITEM),
        "batch_targets": max(1_000 if small else 1_500, min(items // _ITEMS_A_TARGET, _LARGEST_BATCH)),
        "learning_rate": 2.5e-3,
        "negatives": 1_024 if small else 512,
    }
    given = {name: value for name, value in options.model_dump().items() if name in ruled and value is not None}
    return Sizes(**(ruled | given))
