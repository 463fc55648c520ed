"""What is learnt from rows of gold/windows: the targets of every position, and how much each counts.

N series, C positions of context, H horizons.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models import censoring
from shelfcast.models.channels import SCALE_PERIODS
from shelfcast.models.window_tensors import AVAILABLE, Windows, real_positions

_LEAST_RECENT = 0.2  # last year's season is still to be learnt from


def targets(windows: Windows) -> NDArray[Any]:
    """[N, C, H]: units of the H periods after each position; 0 where they lie beyond the window."""
    beyond = np.zeros((len(windows), windows.horizon), np.float32)
    units = np.concatenate([windows.units, beyond], 1)
    return np.stack([units[:, 1 + h : 1 + h + windows.context] for h in range(windows.horizon)], -1)


def recency(windows: Windows, half_life: float | None) -> NDArray[Any]:
    """[N, C]: how much a position counts: half as much every ``half_life`` weeks, at least a fifth."""
    past = np.arange(windows.context)[::-1] * windows.weeks[:, None] + windows.behind[:, None]
    if half_life is None:
        return np.ones_like(past)
    return np.asarray(np.maximum(0.5 ** (past / half_life), _LEAST_RECENT), np.float32)


def weights(windows: Windows, least_sales: int, held_out: int = 0) -> NDArray[Any]:
    """[N, C, H]: 1 where a position's target may be trained on, else 0.

    A position counts from ``least_sales`` periods with sales on; where the history is longer than the window, only
    once the scale has all its periods. A target counts if it lies inside the window, if the series could be bought
    then and, in windows that end at the newest cutoff, if it lies before the last ``held_out`` periods.
    """
    seen = real_positions(windows)
    cut_short = (windows.age > windows.length)[:, None]
    enough = (np.cumsum(windows.units > 0, 1) >= least_sales) & (seen >= 1)
    enough &= ~cut_short | (seen >= SCALE_PERIODS)
    reach = np.arange(windows.context)[:, None] + 1 + np.arange(windows.horizon)[None]  # position of the target
    last = windows.context - np.where(windows.newest, held_out, 0)
    inside = reach[None] < last[:, None, None]
    weight = np.asarray(enough[..., None] & inside, np.float32)
    there = windows.available >= AVAILABLE
    if not there.all():
        weight *= censoring.available_targets(there.astype(np.float32), windows.horizon)
    return weight
