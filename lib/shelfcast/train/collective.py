"""What ranks do together: agree on numbers, share initial weights, join gradients.

Nothing here needs Horovod when a rank is alone, and TensorFlow is imported only by the rank processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _silent(_: str) -> None:
    return None


@dataclass
class Collective:
    """The ranks of one training run, seen from one of them.

    Attributes:
        rank: 0 .. size - 1.
        size: number of ranks.
        threads: CPU threads this rank may use.
        say: shows a line of progress; silent on all ranks but 0.
        hvd: the initialised ``horovod.tensorflow`` module; None for a rank that is alone.
    """

    rank: int = 0
    size: int = 1
    threads: int = 1
    say: Callable[[str], None] = field(default=_silent)
    hvd: Any = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def alone(self) -> "Collective":
        """This rank by itself, for what it trains without the others."""
        return Collective(threads=self.threads, say=self.say)

    def sum(self, values: Any) -> NDArray[Any]:
        """Element-wise sum over ranks of an array of one shape (float64)."""
        array = np.asarray(values, np.float64)
        if self.size == 1:
            return array
        return np.asarray(self.hvd.allreduce(array, op=self.hvd.Sum).numpy())

    def agree(self, value: Any) -> Any:
        """Rank 0's value on every rank; anything that pickles."""
        return value if self.size == 1 else self.hvd.broadcast_object(value, root_rank=0)

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, by rank."""
        return [value] if self.size == 1 else list(self.hvd.allgather_object(value))

    def share(self, variables: Sequence[Any]) -> None:
        """Give every rank rank 0's values of these Keras variables."""
        if self.size > 1:
            self.hvd.broadcast_variables([plain(variable) for variable in variables], root_rank=0)

    def join(self, gradients: Sequence[Any], weight: Any, *, dense: bool = False) -> tuple[list[Any], Any]:
        """The gradients of the mean loss over the joined batch of all ranks, inside or outside a tf.function.

        All dense gradients and the weight travel as one vector, all rows of tables of one height as one matrix.

        Args:
            gradients: of this rank's *summed* loss: tensors or IndexedSlices, None left out by the caller.
            weight: scalar, what this rank's loss was summed over (targets, weighted).
            dense: turn IndexedSlices into tensors first; pays once ranks × touched rows near the table's rows.

        Returns:
            gradients of Σ loss ÷ Σ weight, and Σ weight; of IndexedSlices the rows that any rank touched, each once. A
            tf.function does not know their shapes.
        """
        import tensorflow as tf

        sparse = [isinstance(g, tf.IndexedSlices) and not dense for g in gradients]
        plainly = [tf.convert_to_tensor(g) for g, s in zip(gradients, sparse, strict=True) if not s]
        packed = tf.concat([tf.reshape(g, [-1]) for g in plainly] + [[tf.cast(weight, tf.float32)]], 0)
        if self.size > 1:
            packed = self.hvd.allreduce(packed, op=self.hvd.Sum, name="joined_gradients")
        rows = self._join_rows([g for g, s in zip(gradients, sparse, strict=True) if s])
        total = packed[-1]
        scale = tf.math.divide_no_nan(1.0, total)
        pieces = tf.split(packed * scale, tf.stack([*[tf.size(g) for g in plainly], 1]))[:-1]
        whole = iter([tf.reshape(p, tf.shape(g)) for p, g in zip(pieces, plainly, strict=True)])
        scaled = iter([tf.IndexedSlices(g.values * scale, g.indices, g.dense_shape) for g in rows])
        return [next(scaled) if s else next(whole) for s in sparse], total

    def _join_rows(self, slices: Sequence[Any]) -> list[Any]:
        """The sums over ranks, exchanged once for all tables of one height."""
        import tensorflow as tf

        from shelfcast.train import row_exchange

        heights = [int(tf.get_static_value(g.dense_shape)[0]) for g in slices]
        found: dict[int, Any] = {}
        for height in dict.fromkeys(heights):
            places = [place for place, h in enumerate(heights) if h == height]
            hvd = self.hvd if self.size > 1 else None
            joined = row_exchange.joined([slices[p] for p in places], hvd, f"joined_rows_{height}")
            found |= dict(zip(places, joined, strict=True))
        return [found[place] for place in range(len(slices))]


def plain(variable: Any) -> Any:
    """The tf.Variable inside a Keras 3 variable, which is what Horovod understands."""
    return variable if callable(variable.value) else variable.value
