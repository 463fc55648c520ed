"""What the network sees of a series' past: one causal pass over its periods fills every input channel.

Compiled by numba: on a CPU core the pass costs a few microseconds a series, a fraction of the network's own time.
Logarithms are natural; a ratio's denominator is the scale, so that fast and slow series look alike.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SCALE_PERIODS = 13
GROUPS: dict[str, tuple[str, ...]] = {
    "sales": ("log_units", "log_relative", "log_scale", "log_age", "available"),
    "orders": ("log_orders",),
    "price": ("discount", "log_price"),
    "averages": ("log_average_4", "log_average_8", "log_average_26"),
    "recency": ("sold_share", "log_silence"),
    "spread": ("log_spread",),
    "median": ("log_median_8",),
    "promotions": ("log_promoted_lift", "log_plain_lift", "promoted_share", "display_level", "mailer_level"),
}
"""Group → its channels. ``sales`` is always used."""
OPTIONAL = tuple(group for group in GROUPS if group != "sales")
_LOGARITHMS = (
    "log_units", "log_relative", "log_scale", "log_age", "log_orders", "log_price", "log_average_4", "log_average_8",
    "log_average_26", "log_silence", "log_spread", "log_median_8", "log_promoted_lift", "log_plain_lift",
)  # fmt: skip
_PLAIN = ("available", "discount", "sold_share", "promoted_share", "display_level", "mailer_level")
_PLACES = {name: place for place, name in enumerate((*_LOGARITHMS, *_PLAIN))}  # in which the pass fills them
_MEDIAN_PERIODS = 8
PROMOTED = 0.05  # share of stores from which a period counts as promoted


def names(groups: Sequence[str]) -> tuple[str, ...]:
    """Channels of the chosen groups and of ``sales``, in the order in which the pass fills them."""
    chosen = {name for group, each in GROUPS.items() if group == "sales" or group in groups for name in each}
    return tuple(name for name in _PLACES if name in chosen)


def history(
    past: Sequence[NDArray[Any]], plans: Sequence[NDArray[Any]], length: NDArray[Any], age: NDArray[Any],
    groups: Sequence[str],
) -> tuple[NDArray[Any], NDArray[Any]]:  # fmt: skip
    """Channels and scale of N series over C periods; zero in the padding.

    Args:
        past: units, orders, price, discount and available, [N, C] float32 each; units are what would have sold where
            a series could not be bought (``censoring.uncensored``).
        plans: display and mailer, [N, C] float32 each, shares of stores.
        length, age: [N] int32.
        groups: optional groups to use.

    Returns:
        channels [F, N, C] float32 in the order of ``names``; scale [N, C] float32: mean units of the last 13 periods,
        plus .1, causal.
    """
    shape = past[0].shape
    every = np.ones((len(_PLACES), *shape), np.float32)
    every[len(_LOGARITHMS) :] = 0.0
    scale = np.full(shape, 0.1, np.float32)
    given = tuple(np.ascontiguousarray(each, np.float32) for each in past)
    planned = tuple(np.ascontiguousarray(each, np.float32) for each in plans)
    _fill(given, planned, length, age, every, scale)
    # All at once, because numpy's logarithm takes eight numbers where compiled code takes one.
    np.log(every[: len(_LOGARITHMS)], out=every[: len(_LOGARITHMS)])
    chosen = names(groups)
    return every if len(chosen) == len(_PLACES) else every[[_PLACES[name] for name in chosen]], scale


def standardised(
    channels: NDArray[Any], planned: NDArray[Any], length: NDArray[Any], mean: NDArray[Any], deviation: NDArray[Any]
) -> NDArray[Any]:
    """What the network is given of the past: channels and plans, each less its mean and ÷ its deviation, and
    ``started``; zero in the padding.

    Args:
        channels: [F, N, C]; planned: [N, at least C, P]; length: [N].
        mean, deviation: [F + P].

    Returns:
        [N, C, F + P + 1] float32.
    """
    out = np.zeros((*channels.shape[1:], len(mean) + 1), np.float32)
    _standardise(channels, planned, length, np.float32(mean), np.float32(1.0 / np.asarray(deviation)), out)
    return out


@njit(cache=True)
def _standardise(channels: Any, planned: Any, length: Any, mean: Any, factor: Any, out: Any) -> None:
    count, series, context = channels.shape
    for n in range(series):
        for t in range(context - length[n], context):
            for k in range(count):
                out[n, t, k] = (channels[k, n, t] - mean[k]) * factor[k]
            for k in range(planned.shape[2]):
                out[n, t, count + k] = (planned[n, t, k] - mean[count + k]) * factor[count + k]
            out[n, t, out.shape[2] - 1] = 1.0


@njit(cache=True)
def _fill(past: Any, plans: Any, length: Any, age: Any, out: Any, scale: Any) -> None:
    units, orders, price, discount, available = past
    display, mailer = plans
    series, context = units.shape
    sums = np.zeros(context + 1)  # of units, up to but without a position; likewise the next ones
    squares = np.zeros(context + 1)
    selling = np.zeros(context + 1)
    displays = np.zeros(context + 1)
    mailers = np.zeros(context + 1)
    recent = np.zeros(_MEDIAN_PERIODS)
    for n in range(series):
        first = context - length[n]
        log_prices, priced, silence = 0.0, 0, 0
        promoted_units, promoted_scale, plain_units, plain_scale, promoted = 0.0, 0.0, 0.0, 0.0, 0.0
        for t in range(first, context):
            y, seen = units[n, t], t - first + 1
            sums[t + 1], squares[t + 1] = sums[t] + y, squares[t] + y * y
            selling[t + 1] = selling[t] + (1.0 if y > 0 else 0.0)
            displays[t + 1], mailers[t + 1] = displays[t] + display[n, t], mailers[t] + mailer[n, t]
            back = max(t + 1 - SCALE_PERIODS, first)
            periods = t + 1 - back
            average = (sums[t + 1] - sums[back]) / periods
            s = average + 0.1
            scale[n, t] = s
            silence = 0 if y > 0 else silence + 1
            out[0, n, t], out[1, n, t], out[2, n, t] = 1.0 + y, (y + 0.1) / s, s
            out[3, n, t], out[4, n, t] = max(age[n] - (context - 1) + t, 1), 1.0 + max(orders[n, t], 0.0)
            if price[n, t] > 0:  # against the geometric mean of the prices so far
                log_prices, priced = log_prices + np.log(price[n, t]), priced + 1
                out[5, n, t] = price[n, t] / np.exp(log_prices / priced)
            for place, reach in enumerate((4, 8, 26)):
                since = max(t + 1 - reach, first)
                mean = (sums[t + 1] - sums[since]) / (t + 1 - since)
                out[6 + place, n, t] = (mean + 0.1) / s
            variance = max((squares[t + 1] - squares[back]) / periods - average * average, 0.0)
            out[9, n, t], out[10, n, t] = 1.0 + silence, np.sqrt(variance) / s + 0.05
            out[11, n, t] = (_median(units[n], max(t + 1 - _MEDIAN_PERIODS, first), t + 1, recent) + 0.1) / s
            # Units while promoted and while not, against the scale of the time; one period at the scale is the prior.
            if display[n, t] > PROMOTED or mailer[n, t] > PROMOTED:
                promoted_units, promoted_scale, promoted = promoted_units + y, promoted_scale + s, promoted + 1.0
            else:
                plain_units, plain_scale = plain_units + y, plain_scale + s
            out[12, n, t] = (promoted_units + s) / (promoted_scale + s)
            out[13, n, t] = (plain_units + s) / (plain_scale + s)
            out[14, n, t], out[15, n, t] = available[n, t], discount[n, t]
            out[16, n, t], out[17, n, t] = (selling[t + 1] - selling[back]) / periods, promoted / seen
            out[18, n, t] = (displays[t + 1] - displays[back]) / periods
            out[19, n, t] = (mailers[t + 1] - mailers[back]) / periods
        # The running sums start anew with the next series.
        for t in range(first, context + 1):
            sums[t] = squares[t] = selling[t] = displays[t] = mailers[t] = 0.0


@njit(cache=True)
def _median(row: Any, start: int, end: int, space: Any) -> Any:
    """Of row[start:end], at most as long as ``space``, by insertion sort."""
    count = 0
    for t in range(start, end):
        place = count
        while place > 0 and space[place - 1] > row[t]:
            space[place] = space[place - 1]
            place -= 1
        space[place] = row[t]
        count += 1
    middle = count // 2
    return space[middle] if count % 2 else 0.5 * (space[middle - 1] + space[middle])
