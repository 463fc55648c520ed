"""Tables of millions of items in training: when they travel and move by rows, and what that costs.

A table of item vectors is most of the model, and a step touches little of it. By rows, a step does three things less:

- it sends the touched rows, merged (``row_exchange``), where dense gradients send the table;
- it moves them alone, with their moments and average (``row_optimizer``), where dense AdamW goes through all;
- it reads rows by ``tf.gather`` of the variable and writes them in place: no step makes a copy of a table.

A table goes by rows where the rows that all ranks touch in a step are surely less than half of it (``by_rows``; the
bound is ranks × (2 × targets + negatives), since inputs and targets of a batch hardly overlap in the worst case). A
row travels and moves at about 10 ns a number, random access and two mergers included, and a number of a dense table
at about 9 ns (one core, measured), which is the half with some reserve for the larger batches. Below 2²⁴ numbers a
table is dense anyway: that costs at most .15 s a step, and dense Adam moves rarely seen items further (LazyAdam needs
about a tenth more epochs at the same rate). Training's metrics say which it was: ``embedding_gradients``.

**10 million items × 128.** The table is 10⁷ × 128 × 4 bytes = 5.1 GB, its bias 40 MB. What each rank holds
(``memory``): weights, average, two moments and the best average so far, 5 × 5.16 GB, and the clock of each row in
both tables, .48 GB: 26.3 GB. On top come, for a while: one table while variables are made or assigned, on rank 0
three while a checkpoint is written (a table at a time), and whatever validation makes of the item vectors; so 45 GB a
rank. The start broadcasts 5.2 GB once, a restart 26 GB.

A batch is 16,384 targets a rank (``models.sizes``) with 512 negatives; in sequences of 10 targets about 18,500 rows,
each sent as 129 numbers and its own: 9.6 MB (``sent``). N ranks each receive N - 1 times that: 10 MB a step for 2
ranks, 144 MB for 16, beside an allreduce of the .3 MB that is dense. The whole table would be 5.2 GB a step for 2 ranks
and 9.7 GB for 16. On a 10 Gbit/s network 16 ranks wait .12 s a step for rows. Moving the rows takes 18,500 × N × 129 ×
10 ns: 48 ms for 2 ranks, .4 s for 16, which is then as long as forward and backward of the batch: every rank moves the
rows of all. An epoch (4 targets an item) is 2,441 ÷ N steps. Dense would be the better choice from about 150 ranks on,
long after replicas are the wrong one.

**Beyond** that, in ranks or in memory, the table must be shared out, row r to rank r mod N, and no rank holds
another's rows. Memory a rank is divided by N, and so is the work of moving, as each row moves once. A step would
need, instead of one allgather behind the backward pass: an alltoall of row numbers (known as soon as the batch is, so
a step ahead), an alltoall of their weights before the forward pass, and one of their gradients behind it: 2 × 9.6 MB
a rank and step, whatever N, and one more wait. ``hvd.alltoall`` with splits does it; the model would take its rows as
an input, the loss read them by place in it, the owner merge and move them with ``AveragedAdamW`` as it is.
Checkpoints and the published model would be written by rank, and the search over items, which merges blocks already,
would take a shard as a block.
"""

from collections import Counter
from collections.abc import Sequence
from math import prod

_SHARE = 0.5  # of a table's rows: touched by more, the whole table travels and moves
_SMALL = 1 << 24  # numbers; a smaller table is dense whatever is touched


def by_rows(shapes: Sequence[Sequence[int]], touched: int) -> list[bool]:
    """Which variables travel and move by their touched rows; those of one height do together.

    Args:
        shapes: of the variables.
        touched: rows that a step touches on all ranks, at most.
    """
    numbers = Counter[int]()
    for shape in shapes:
        numbers[shape[0] if shape else 0] += prod(shape)
    return [bool(shape) and touched < _SHARE * shape[0] and numbers[shape[0]] >= _SMALL for shape in shapes]


def memory(shapes: Sequence[Sequence[int]], rows: Sequence[bool]) -> int:
    """Bytes that a rank holds of such variables in training: weights, average, two moments, best average so far, and
    the clocks of tables by rows.
    """
    return sum(4 * 5 * prod(shape) + (24 * shape[0] if by else 0) for shape, by in zip(shapes, rows, strict=True))


def sent(touched: int, shapes: Sequence[Sequence[int]], rows: Sequence[bool]) -> int:
    """Bytes that a rank sends to each other one in a step: ``touched`` rows of every table by rows, and all the rest.

    Tables by rows are taken to be of one height.
    """
    tables = [shape for shape, by in zip(shapes, rows, strict=True) if by]
    rest = sum(prod(shape) for shape, by in zip(shapes, rows, strict=True) if not by)
    width = sum(prod(shape[1:]) for shape in tables)
    return 4 * (touched * (width + 1) * bool(tables) + rest + 1)
