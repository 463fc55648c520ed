"""Windows as they were some periods ago, so that rolling origins need no features of their own.

A model for an earlier origin must know nothing later. Moving a series' arrays to the right drops its newest periods,
sold units and plans alike, before anything is computed from them: what is gone cannot be read.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.window_tensors import Windows


def rolled_back(windows: Windows, periods: int) -> Windows:
    """The windows that end at the newest cutoff, moved ``periods`` back; all others as they are.

    Against windows built at the earlier cutoff two things differ: what lies before the context stays cut off, and plans
    of the new horizon are those known by the newest cutoff. Series that had not begun are left out.

    Raises:
        ValueError: if nothing of the context would remain, or other windows end later than the moved ones would.
    """
    older = windows.behind[~windows.newest] - periods * windows.weeks[~windows.newest]
    if not 0 <= periods < windows.context or (older <= 0).any():
        raise ValueError(f"windows of {windows.context} periods cannot be rolled back by {periods}")
    if periods == 0:
        return windows
    newest = windows.newest
    back = np.where(newest, periods, 0).astype(np.int32)
    moved = {
        name: _moved(getattr(windows, name), newest, periods)
        for name in ("units", "orders", "price", "discount", "available", "planned")
    }
    behind = np.where(newest, 0.0, windows.behind - periods * windows.weeks).astype(np.float32)
    earlier = replace(windows, age=windows.age - back, length=windows.length - back, behind=behind, **moved)
    return earlier.take(earlier.length > 0)


def _moved(values: NDArray[Any], rows: NDArray[Any], periods: int) -> NDArray[Any]:
    """[N, T, ...] with ``rows`` moved right along T; what comes in at the left repeats the first value: padding."""
    out = values.copy()
    out[rows, periods:] = values[rows, :-periods]
    out[rows, :periods] = values[rows, :1]
    return out
