"""What gradient boosting is given: a row per position of a window, from the same columns as the forecaster.

A row knows the window up to its position, and of the later periods only the calendar and the plans that are named as
known ahead. M rows, F features, H horizons; everything about units is relative to the position's scale.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.lake.plans import KINDS, PLANS
from shelfcast.models import window_tensors
from shelfcast.models.channels import PROMOTED
from shelfcast.models.window_tensors import PLANNED, Windows

LAGS = 26
_RECENT = 8
_SPANS = (4, 8, 13, 26)
_CALENDAR = ("holiday", "month_start")


def features(windows: Windows, chosen: NDArray[Any], planned: Sequence[str]) -> NDArray[Any]:
    """Features of the chosen positions, window by window.

    Args:
        chosen: [N, C] bool.
        planned: kinds of promotions whose plans are known over the horizon, ``display`` and ``mailer``.

    Returns:
        [M, F] float32, NaN where a window does not reach back far enough.
    """
    row, position = np.nonzero(chosen)
    columns = [column for block in _blocks(windows, row, position, planned) for column in block]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((0, 0), np.float32)


def _blocks(windows: Windows, row: Any, position: Any, planned: Sequence[str]) -> Iterator[list[NDArray[Any]]]:
    scale = window_tensors.scale(windows)[row, position]
    started = windows.context - windows.length[row]
    back = _back(window_tensors.demand(windows), row, position, started)
    yield _levels(back, scale)
    yield _intermittence(back)
    age = np.maximum(windows.age[row] - (windows.context - 1) + position, 1)
    yield [np.log(scale), age.astype(np.float32)]
    yield _sales(windows, row, position, started)
    yield _promotions(windows, back / scale[:, None], (row, position, started), planned)
    yield [windows.statics[row, place] for place in range(windows.statics.shape[1])]


def _back(values: NDArray[Any], row: Any, position: Any, started: Any, periods: int = LAGS) -> NDArray[Any]:
    """[M, periods] a position's value, the one before it, and so on; NaN before the series began."""
    place = position[:, None] - np.arange(periods)[None]
    found = values[row[:, None], np.maximum(place, 0)]
    return np.asarray(np.where(place >= np.maximum(started, 0)[:, None], found, np.nan), np.float32)


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1))


def _levels(back: NDArray[Any], scale: NDArray[Any]) -> list[NDArray[Any]]:
    """Lags, moving averages, medians and spreads, each against the scale."""
    found = [back[:, lag] for lag in range(_RECENT)]
    for span in _SPANS:
        part = back[:, :span]
        mean = _mean(part)
        spread = np.sqrt(np.maximum(_mean((part - mean[:, None]) ** 2), 0))
        found += [mean, _median(part), spread]
    weight = 0.7 ** np.arange(LAGS)
    known = ~np.isnan(back)
    found.append((np.where(known, back, 0) @ weight) / np.maximum(known @ weight, 1e-9))
    found.append(np.where(known, back, 0).max(1))
    return [column / scale for column in found]


def _median(values: NDArray[Any]) -> NDArray[Any]:
    """Medians of what is known: sorting puts NaN last."""
    ordered = np.sort(values, 1)
    count = np.maximum((~np.isnan(values)).sum(1), 1)
    each = np.arange(len(values))
    return np.asarray((ordered[each, (count - 1) // 2] + ordered[each, count // 2]) / 2)


def _intermittence(back: NDArray[Any]) -> list[NDArray[Any]]:
    """Shares of periods without sales, and how long ago the last and the second last sale was."""
    none = np.where(np.isnan(back), np.nan, back <= 0)
    sold = back > 0
    last = np.where(sold.any(1), sold.argmax(1), LAGS)
    earlier = sold & (np.arange(LAGS)[None] > last[:, None])
    second = np.where(earlier.any(1), earlier.argmax(1), LAGS)
    return [*(_mean(none[:, :span]) for span in _SPANS), last, second - last]


def _sales(windows: Windows, row: Any, position: Any, started: Any) -> list[NDArray[Any]]:
    """Orders, discount, and the price against the geometric mean of the prices so far."""
    orders, discount = (_back(values, row, position, started, 13) for values in (windows.orders, windows.discount))
    sold = windows.price > 0
    log_price = np.log(np.where(sold, windows.price, 1.0))
    typical = np.cumsum(log_price, 1) / np.maximum(np.cumsum(sold, 1), 1)
    priced = np.maximum.accumulate(np.where(sold, np.arange(windows.context)[None], -1), 1)  # position of the newest
    each = np.arange(len(windows))[:, None]
    relative = np.where(priced >= 0, log_price[each, np.maximum(priced, 0)] - typical, np.nan)[row, position]
    sizes = windows.units / np.maximum(windows.orders, 1)
    return [
        orders[:, 0], _mean(orders[:, :4]), _mean(orders),
        discount[:, 0], discount[:, 1], _mean(discount[:, :4]), _mean(discount),
        relative, typical[row, position], _mean(_back(sizes, row, position, started, 13)),
    ]  # fmt: skip


def _promotions(windows: Windows, relative: NDArray[Any], at: Any, planned: Sequence[str]) -> list[NDArray[Any]]:
    """Plans and calendar at the last periods and at every later one; how units moved with promotions so far."""
    row, position, started = at
    found: list[NDArray[Any]] = []
    ahead = position[:, None] + 1 + np.arange(windows.horizon)[None]
    strongest = np.zeros(relative.shape)
    known = {*_CALENDAR, *(column for kind in planned for column in KINDS[kind])}
    for kind in (*PLANS, *_CALENDAR):
        values = windows.planned[:, :, PLANNED.index(kind)]
        later = values[row[:, None], ahead] if kind in known else np.zeros(ahead.shape)
        back = _back(values, row, position, started)
        found += [*later.T, back[:, 0]]
        if kind in PLANS:
            strongest = np.fmax(strongest, back)
            found += [back[:, 1], back[:, 2], _mean(back[:, :4]), _mean(back[:, :13]), _mean(back)]
    found += list(windows.planned[row, position + 1, len(PLANNED) :].T)  # the phase of the year, where it is an input
    on = np.where(np.isnan(relative), np.nan, strongest > PROMOTED)
    lifted, plain = (np.where(on == side, relative, np.nan) for side in (1, 0))
    return [*found, _or_nan(lifted), _or_nan(plain), _mean(on)]


def _or_nan(values: NDArray[Any]) -> NDArray[Any]:
    """Means over rows, NaN where nothing is known."""
    return np.asarray(np.where(np.isnan(values).all(1), np.nan, _mean(values)))
