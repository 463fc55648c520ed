"""Rows of gold/windows as the numpy tensors that training and scoring feed to the forecaster.

N series, C positions of context, H horizons. All arrays are oldest first and padded at the left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shelfcast.errors import ContractError
from shelfcast.lake.cutoffs import period_days
from shelfcast.lake.plans import KINDS, PLANS
from shelfcast.models import censoring, channels
from shelfcast.models.calibration import SPARSE, Traits
from shelfcast.models.channels import SCALE_PERIODS

STATICS = ("department", "category", "brand", "manufacturer")
PAST = ("units", "orders", "price", "discount", "available")
PLANNED = (*PLANS, "holiday", "month_start")
COLUMNS = ("grain", "cutoff", "age", "length", *PAST, *PLANNED, "year_phase", *STATICS)
_BLOCK = 8192  # windows
AVAILABLE = 0.5  # share of a period from which what was sold counts as the demand


@dataclass(frozen=True)
class Inputs:
    """Which of the stored columns the network is given, and what it may know ahead.

    Attributes:
        groups: optional groups of ``channels.GROUPS``.
        planned: kinds of plans known ahead of their period; past ones are inputs in any case.
        seasonal: whether the phase of the year is an input.
    """

    groups: tuple[str, ...] = channels.OPTIONAL
    planned: tuple[str, ...] = tuple(KINDS)
    seasonal: bool = False

    @property
    def future(self) -> tuple[str, ...]:
        """Columns of what is planned."""
        return (*PLANNED, "year_sine", "year_cosine") if self.seasonal else PLANNED

    @property
    def history(self) -> tuple[str, ...]:
        """Standardised columns of the past; ``started`` (1 from the first sale on) follows them."""
        return (*channels.names(self.groups), *self.future)

    @staticmethod
    def of(stored: Mapping[str, Any]) -> "Inputs":
        """From ``dataclasses.asdict`` that went through JSON."""
        return Inputs(tuple(stored["groups"]), tuple(stored["planned"]), stored["seasonal"])

    def hidden(self) -> list[int]:
        """Places in ``future`` of plans that are not known ahead."""
        unknown = [column for kind, each in KINDS.items() if kind not in self.planned for column in each]
        return [self.future.index(column) for column in unknown]


@dataclass(frozen=True)
class Windows:
    """Compact columns of N windows; float32 unless said.

    Attributes:
        units, orders, price, discount, available: [N, C].
        planned: [N, C + H, K], the columns PLANNED and, where the log spans years, the sine and cosine of the year.
        age, length: [N] int32, as in the table's contract.
        statics: [N, S] int32, dense numbers by vocabulary; 0 is rare or unknown.
        weeks: [N] float32, weeks of a period.
        behind: [N] float32, weeks from the window's cutoff to the newest one.
    """

    units: NDArray[Any]
    orders: NDArray[Any]
    price: NDArray[Any]
    discount: NDArray[Any]
    available: NDArray[Any]
    planned: NDArray[Any]
    age: NDArray[Any]
    length: NDArray[Any]
    statics: NDArray[Any]
    weeks: NDArray[Any]
    behind: NDArray[Any]

    def __len__(self) -> int:
        return len(self.age)

    @property
    def context(self) -> int:
        return int(self.units.shape[1])

    @property
    def horizon(self) -> int:
        return int(self.planned.shape[1]) - self.context

    @property
    def newest(self) -> NDArray[Any]:
        """[N] bool, whether the window ends at the newest cutoff."""
        return np.asarray(self.behind == 0)

    def sparse(self, until: int | None = None) -> NDArray[Any]:
        """[N] bool: too few periods with sales, of the first ``until`` ones, to be treated like the others."""
        return np.asarray((self.units[:, :until] > 0).sum(1) < SPARSE)

    def take(self, rows: Any) -> "Windows":
        """Chosen rows, by numbers, mask or slice."""
        return Windows(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def blocks(self) -> Iterator["Windows"]:
        """The rows in parts of bounded size, one of them at least."""
        for start in range(0, max(len(self), 1), _BLOCK):
            yield self.take(slice(start, start + _BLOCK))

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
        newest: grain → its newest cutoff, for Windows.behind; all rows count as newest if None.

    Raises:
        ContractError: if arrays of one column differ in length.
    """
    arrays = {name: _matrix(table, name) for name in (*PAST, *PLANNED)}
    planned = [arrays[name] for name in PLANNED]
    if seasonal:
        phase = 2.0 * np.pi * _matrix(table, "year_phase")
        planned += [np.sin(phase), np.cos(phase)]
    behind, grains = np.zeros(len(table), np.float32), _values(table, "grain")
    if newest is not None:
        pairs = zip(grains, _values(table, "cutoff"), strict=True)
        behind = np.asarray([(newest[grain] - cutoff).days / 7 for grain, cutoff in pairs], np.float32)
    lengths = {grain: period_days(grain) / 7 for grain in set(grains)}
    return Windows(
        units=np.maximum(arrays["units"], 0.0),
        orders=arrays["orders"],
        price=arrays["price"],
        discount=arrays["discount"],
        available=arrays["available"],
        planned=np.stack(planned, -1).astype(np.float32),
        age=np.asarray(table["age"]).astype(np.int32),
        length=np.asarray(table["length"]).astype(np.int32),
        statics=_numbers(table, vocabularies),
        weeks=np.asarray([lengths[grain] for grain in grains], np.float32),
        behind=behind,
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
        known = pa.array(values, pa.string())
        given = pa.array(table[name], pa.string()) if isinstance(table, pd.DataFrame) else table[name]
        out[:, place] = pc.fill_null(pc.index_in(given, value_set=known), -1).to_numpy() + 1
    return out


def real_positions(windows: Windows) -> NDArray[Any]:
    """[N, C]: real positions up to each one; 0 and below in the padding."""
    return np.asarray(np.arange(windows.context)[None] - (windows.context - windows.length[:, None]) + 1)


def demand(windows: Windows) -> NDArray[Any]:
    """[N, C]: units, raised to the level known by then in periods in which a series could not be bought."""
    if (windows.available >= AVAILABLE).all():
        return windows.units
    there = (windows.available >= AVAILABLE).astype(np.float32)
    return censoring.uncensored(windows.units, there, windows.length, SCALE_PERIODS)


def scale(windows: Windows) -> NDArray[Any]:
    """[N, C]: the unit of the forecasts made at a position, see ``channels.history``."""
    total = np.cumsum(demand(windows), 1, dtype=np.float64)
    total[:, SCALE_PERIODS:] -= total[:, :-SCALE_PERIODS].copy()
    return np.asarray(total / np.clip(real_positions(windows), 1, SCALE_PERIODS) + 0.1, np.float32)


def raw_inputs(windows: Windows, inputs: Inputs) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The columns ``inputs.history`` before standardisation [N, C, F], scale [N, C], started [N, C]."""
    past, scaled = _history(windows, inputs)
    given = np.concatenate([np.moveaxis(past, 0, -1), windows.planned[:, : windows.context]], -1)
    return given, scaled, real_positions(windows) >= 1


def _history(windows: Windows, inputs: Inputs) -> tuple[NDArray[Any], NDArray[Any]]:
    """Channels [F, N, C] and scale [N, C]."""
    planned = windows.planned[:, : windows.context]
    return channels.history(
        (demand(windows), windows.orders, windows.price, windows.discount, windows.available),
        [planned[..., PLANNED.index(kind)] for kind in ("display", "mailer")],
        windows.length, windows.age, inputs.groups,
    )  # fmt: skip


def moments(windows: Windows, inputs: Inputs) -> NDArray[Any]:
    """[3, F]: count, sum and sum of squares of the inputs at started positions; they add up over ranks."""
    total = np.zeros((3, len(inputs.history)))
    for part in windows.blocks():  # in double precision the inputs of all windows would not fit
        given, _, started = raw_inputs(part, inputs)
        real = given[started].astype(np.float64)
        total += [np.full(real.shape[1], float(len(real))), real.sum(0), (real**2).sum(0)]
    return total


def normalisation(total: NDArray[Any]) -> dict[str, list[float]]:
    """Mean and standard deviation per input from summed ``moments``; constant inputs are left as they are."""
    count, first, second = total
    mean = first / np.maximum(count, 1.0)
    deviation = np.sqrt(np.maximum(second / np.maximum(count, 1.0) - mean**2, 0.0))
    return {"mean": mean.tolist(), "deviation": np.where(deviation > 1e-4, deviation, 1.0).tolist()}


def tensors(windows: Windows, norm: Mapping[str, Sequence[float]], inputs: Inputs) -> Tensors:
    """The network's inputs. What lies before the first sale is zero in every channel, as are plans not known ahead."""
    past, scaled = _history(windows, inputs)
    mean, deviation = (np.asarray(norm[key], np.float32) for key in ("mean", "deviation"))
    history = channels.standardised(past, windows.planned, windows.length, mean, deviation)
    planned = windows.planned
    if inputs.hidden():
        planned = planned.copy()
        planned[..., inputs.hidden()] = 0.0
    return Tensors(history, planned, windows.statics, scaled, real_positions(windows) >= 1)


def traits(windows: Windows, given: Tensors, origin: int) -> Traits:
    """What a correction of forecasts made after ``origin`` periods of the context may depend on."""
    return Traits(given.scale[:, origin - 1], windows.sparse(origin))
