"""Rows of gold/windows as the numpy tensors that training and scoring feed to the forecaster.

N series, C positions of context, H horizons. All arrays are oldest first and padded at the left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.errors import ContractError

STATICS = ("department", "category", "brand", "manufacturer")
PAST = ("units", "orders", "price", "discount")
PLANNED = ("display", "display_main", "mailer", "mailer_main", "holiday", "month_start")
COLUMNS = ("grain", "cutoff", "age", "length", *PAST, *PLANNED, "year_phase", *STATICS)
SCALE_PERIODS = 13
INPUTS = ("log_units", "log_relative", "log_scale", "log_age", "log_orders", "discount", "log_price", *PLANNED)
"""Standardised channels of the history; ``started`` (1 from the first sale on) follows them."""


@dataclass(frozen=True)
class Windows:
    """Compact columns of N windows; float32 unless said.

    Attributes:
        units, orders, price, discount: [N, C].
        planned: [N, C + H, K], the columns PLANNED and, where the log spans years, the sine and cosine of the year.
        age, length: [N] int32, as in the table's contract.
        statics: [N, S] int32, dense numbers by vocabulary; 0 is rare or unknown.
        newest: [N] bool, whether the window ends at the newest cutoff.
    """

    units: NDArray[Any]
    orders: NDArray[Any]
    price: NDArray[Any]
    discount: NDArray[Any]
    planned: NDArray[Any]
    age: NDArray[Any]
    length: NDArray[Any]
    statics: NDArray[Any]
    newest: NDArray[Any]

    def __len__(self) -> int:
        return len(self.age)

    @property
    def context(self) -> int:
        return int(self.units.shape[1])

    @property
    def horizon(self) -> int:
        return int(self.planned.shape[1]) - self.context

    def take(self, rows: Any) -> "Windows":
        """Chosen rows, by numbers, mask or slice."""
        return Windows(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @staticmethod
    def concatenated(parts: Sequence["Windows"]) -> "Windows":
        return Windows(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Windows)})


class Tensors(NamedTuple):
    """What the network is given for a batch.

    history [N, C, F] standardised inputs and ``started``; planned [N, C + H, K]; statics [N, S] int32;
    scale [N, C], the unit of the forecasts made at a position; started [N, C] bool.
    """

    history: NDArray[Any]
    planned: NDArray[Any]
    statics: NDArray[Any]
    scale: NDArray[Any]
    started: NDArray[Any]


def vocabulary(counts: Mapping[str, Mapping[str, int]], least: int) -> dict[str, list[str]]:
    """Static column → its values with at least ``least`` series, the most frequent first; number 0 is all others."""
    return {
        name: [value for value, count in sorted(seen.items(), key=lambda p: (-p[1], p[0])) if count >= least]
        for name, seen in counts.items()
    }


def read(
    table: pa.Table | pd.DataFrame,
    vocabularies: Mapping[str, Sequence[str]],
    seasonal: bool,
    newest: Mapping[str, date] | None = None,
) -> Windows:
    """Columns COLUMNS of gold/windows rows as arrays.

    Args:
        vocabularies: static column → values, numbered from 1 in this order.
        seasonal: whether the phase of the year is an input.
        newest: grain → its newest cutoff, for Windows.newest; all rows count as newest if None.

    Raises:
        ContractError: if arrays of one column differ in length.
    """
    arrays = {name: _matrix(table, name) for name in (*PAST, *PLANNED)}
    planned = [arrays[name] for name in PLANNED]
    if seasonal:
        phase = 2.0 * np.pi * _matrix(table, "year_phase")
        planned += [np.sin(phase), np.cos(phase)]
    fresh = np.ones(len(table), bool)
    if newest is not None:
        pairs = zip(_values(table, "grain"), _values(table, "cutoff"), strict=True)
        fresh = np.asarray([newest.get(grain) == cutoff for grain, cutoff in pairs], bool)
    return Windows(
        units=np.maximum(arrays["units"], 0.0),
        orders=arrays["orders"],
        price=arrays["price"],
        discount=arrays["discount"],
        planned=np.stack(planned, -1).astype(np.float32),
        age=np.asarray(table["age"]).astype(np.int32),
        length=np.asarray(table["length"]).astype(np.int32),
        statics=_numbers(table, vocabularies),
        newest=fresh,
    )


def _matrix(table: pa.Table | pd.DataFrame, name: str) -> NDArray[Any]:
    """A column of equally long lists as [N, width] float32, nulls as 0."""
    if isinstance(table, pd.DataFrame):
        lists = list(table[name])
        lengths, flat = np.fromiter(map(len, lists), np.int64, len(lists)), np.concatenate([[], *lists])
    else:
        column = pa.chunked_array(table[name]).combine_chunks()
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        flat = column.flatten().to_numpy(zero_copy_only=False)
    width = int(lengths[0]) if len(lengths) else 0
    if (lengths != width).any():
        raise ContractError(f"table gold/windows: arrays of column {name} differ in length; build the features again")
    matrix: NDArray[Any] = np.nan_to_num(flat.astype(np.float32, copy=False).reshape(len(lengths), width))
    return matrix


def _values(table: pa.Table | pd.DataFrame, name: str) -> list[Any]:
    return table[name].tolist() if isinstance(table, pd.DataFrame) else table[name].to_pylist()


def _numbers(table: pa.Table | pd.DataFrame, vocabularies: Mapping[str, Sequence[str]]) -> NDArray[Any]:
    out = np.zeros((len(table), len(vocabularies)), np.int32)
    for place, (name, values) in enumerate(vocabularies.items()):
        number = {value: index + 1 for index, value in enumerate(values)}
        out[:, place] = [number.get(value, 0) for value in _values(table, name)]
    return out


def scale(windows: Windows) -> NDArray[Any]:
    """[N, C]: mean units of the last min(13, age) periods up to each position, plus .1 (causal)."""
    total = np.cumsum(windows.units, 1, dtype=np.float64)
    before = np.zeros_like(total)
    before[:, SCALE_PERIODS:] = total[:, :-SCALE_PERIODS]
    seen = np.clip(_seen(windows), 1, SCALE_PERIODS)
    return np.asarray((total - before) / seen + 0.1, np.float32)


def _seen(windows: Windows) -> NDArray[Any]:
    """[N, C]: real positions up to each one; 0 and below in the padding."""
    return np.asarray(np.arange(windows.context)[None] - (windows.context - windows.length[:, None]) + 1)


def raw_inputs(windows: Windows) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The channels INPUTS (and the year's, if read) before standardisation [N, C, F], scale [N, C], started [N, C]."""
    units, context = windows.units, windows.context
    seen = _seen(windows)
    started = seen >= 1
    scaled = scale(windows)
    age = np.maximum(windows.age[:, None] - (context - 1) + np.arange(context)[None], 1)
    sold = windows.price > 0
    log_price = np.log(np.where(sold, windows.price, 1.0))
    typical = np.cumsum(log_price, 1) / np.maximum(np.cumsum(sold, 1), 1)  # geometric mean of the prices so far
    channels = [
        np.log1p(units),
        np.log((units + 0.1) / scaled),
        np.log(scaled),
        np.log(age),
        np.log1p(np.maximum(windows.orders, 0.0)),
        windows.discount,
        np.where(sold, log_price - typical, 0.0),
    ]
    past = np.stack(channels, -1).astype(np.float32)
    return np.concatenate([past, windows.planned[:, :context]], -1), scaled, started


def moments(windows: Windows) -> NDArray[Any]:
    """[3, F]: count, sum and sum of squares of the inputs at started positions; they add up over ranks."""
    inputs, _, started = raw_inputs(windows)
    real = inputs[started].astype(np.float64)
    return np.stack([np.full(real.shape[1], float(len(real))), real.sum(0), (real**2).sum(0)])


def normalisation(total: NDArray[Any]) -> dict[str, list[float]]:
    """Mean and standard deviation per input from summed ``moments``; constant inputs are left as they are."""
    count, first, second = total
    mean = first / np.maximum(count, 1.0)
    deviation = np.sqrt(np.maximum(second / np.maximum(count, 1.0) - mean**2, 0.0))
    return {"mean": mean.tolist(), "deviation": np.where(deviation > 1e-4, deviation, 1.0).tolist()}


def tensors(windows: Windows, norm: Mapping[str, Sequence[float]]) -> Tensors:
    """The network's inputs. What lies before the first sale is zero in every channel."""
    inputs, scaled, started = raw_inputs(windows)
    mean, deviation = (np.asarray(norm[key], np.float32) for key in ("mean", "deviation"))
    history = np.where(started[..., None], (inputs - mean) / deviation, 0.0)
    history = np.concatenate([history, started[..., None]], -1).astype(np.float32)
    return Tensors(history, windows.planned, windows.statics, scaled, started)


def targets(windows: Windows) -> NDArray[Any]:
    """[N, C, H]: units of the H periods after each position; 0 where they lie beyond the window."""
    beyond = np.zeros((len(windows), windows.horizon), np.float32)
    units = np.concatenate([windows.units, beyond], 1)
    return np.stack([units[:, 1 + h : 1 + h + windows.context] for h in range(windows.horizon)], -1)


def weights(windows: Windows, least_sales: int, held_out: int = 0) -> NDArray[Any]:
    """[N, C, H]: 1 where a position's target may be trained on, else 0.

    A position counts from ``least_sales`` periods with sales on; where the history is longer than the window, only
    once the scale has all its periods. A target counts if it lies inside the window and, in windows that end at the
    newest cutoff, before its last ``held_out`` periods.
    """
    seen = _seen(windows)
    cut_short = (windows.age > windows.length)[:, None]
    enough = (np.cumsum(windows.units > 0, 1) >= least_sales) & (seen >= 1)
    enough &= ~cut_short | (seen >= SCALE_PERIODS)
    reach = np.arange(windows.context)[:, None] + 1 + np.arange(windows.horizon)[None]  # position of the target
    last = windows.context - np.where(windows.newest, held_out, 0)
    inside = reach[None] < last[:, None, None]
    return np.asarray(enough[..., None] & inside, np.float32)
