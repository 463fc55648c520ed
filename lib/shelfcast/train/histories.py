"""A rank's own share of gold/interactions, read without Spark."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shelfcast.lake.snapshot import Snapshot
from shelfcast.models.catalogue import Catalogue, codes_in
from shelfcast.models.histories import Histories, group

BUCKETS = 1024
_COLUMNS = ["user_id", "week_start", "items", "types", "times", "dates"]
_MICROSECONDS = 1_000_000


def read(
    lake: str,
    version: int,
    rank: int,
    size: int,
    as_of: int,
    catalogue: Catalogue,
    wanted: Sequence[str],
    types: Sequence[str],
) -> Histories:
    """The histories up to ``as_of`` (days since 1970-01-01) of the users whose bucket falls to this rank.

    Args:
        catalogue: its codes become the items; every visible item is in it.
        wanted: event types to be predicted.
        types: event types that count at all.
    """  # fmt: skip
    snapshot = Snapshot(lake, "gold/interactions", version)
    where = (pc.field("week_start") <= date(1970, 1, 1) + timedelta(days=as_of)) & pc.field("bucket").isin(
        list(range(rank, BUCKETS, size))
    )
    names: dict[str, int] = {}
    parts: list[list[NDArray[Any]]] = []
    for batch in snapshot.batches(_COLUMNS, where):
        parts.extend(_flat(batch, names, catalogue, types))
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else [np.zeros(0, np.int64)] * 7
    users, weeks, lengths, items, days, times, kinds = columns
    _, offsets, (items, days, times, kinds) = group(users, weeks, lengths, [items, days, times, kinds])
    is_wanted = np.isin(kinds, [place for place, name in enumerate(types) if name in wanted])
    all_of_them = Histories(
        offsets, items.astype(np.int32), days.astype(np.int32), times, is_wanted, kinds.astype(np.int8)
    )
    return all_of_them.keep((days <= as_of) & (kinds >= 0) & (items >= 0))


def _flat(
    batch: pa.RecordBatch, names: dict[str, int], catalogue: Catalogue, types: Sequence[str]
) -> Iterator[list[NDArray[Any]]]:
    """User number, week and length of each row; code, day, second and type (-1: does not count) of each event."""
    if not batch.num_rows:
        return
    encoded = pc.dictionary_encode(batch["user_id"])
    numbers = np.array([names.setdefault(n, len(names)) for n in encoded.dictionary.to_pylist()], np.int64)
    times = pc.list_flatten(batch["times"]).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    yield [
        numbers[encoded.indices.to_numpy()],
        batch["week_start"].cast(pa.int32()).to_numpy().astype(np.int64),
        pc.list_value_length(batch["items"]).to_numpy().astype(np.int64),
        catalogue.codes(pc.list_flatten(batch["items"])),
        pc.list_flatten(batch["dates"]).cast(pa.int32()).to_numpy(),
        times.to_numpy() // _MICROSECONDS,
        codes_in(pa.array(list(types), pa.string()), pc.list_flatten(batch["types"])),
    ]
