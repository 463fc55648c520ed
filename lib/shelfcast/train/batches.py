"""How large batches are, and making the next one while the ranks wait for each other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_SMALLEST, _FEWEST = 16, 16  # a log with few series makes smaller batches, not fewer
_LARGEST, _MOST = 512, 500  # a log with many makes larger ones: each step costs a wait for the slowest rank

Batch = TypeVar("Batch")


def batch_size(windows: int, wanted: int) -> int:
    """Windows of one rank's batch.

    Args:
        windows: of one rank and epoch.
        wanted: the configured size; it holds between about 16 and 500 batches an epoch.
    """
    least = min(wanted, max(_SMALLEST, windows // _FEWEST))
    return max(least, min(_LARGEST, windows // _MOST))


def made_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches in the same order; a thread makes the next one while the caller is busy with this one.

    On one core per rank nothing is won while the network computes, but all of it while its gradient travels.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch
