"""Which identities repeat is found by sorting numbers; here against counting them one by one."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from shelfcast.ingest.repeats import COUNTED, INPUTS, KNOWN, REFUSED, REPEATED, repeated, schema, settle

NAMES = schema().names


def counted_one_by_one(low: list[int], high: list[int], rank: list[int]) -> set[tuple[int, ...]]:
    found = defaultdict(list)
    for *key, place in zip(low, high, rank, strict=True):
        found[tuple(key)].append(place)
    rows = set()
    for key, ranks in found.items():
        new = [place for place in ranks if place != KNOWN]
        known = len(new) < len(ranks)
        if len(new) > 1 or (new and known):
            of = [place % INPUTS for place in new]
            rows |= {(*key, min(new), int(known), one, of.count(one)) for one in of}
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_the_same_identities_repeat_as_when_they_are_counted(seed: int) -> None:
    draw = np.random.default_rng(seed)
    size = int(draw.integers(0, 60))
    low, high = draw.integers(-4, 4, size), draw.integers(-3, 3, size)
    rank = np.where(draw.random(size) < 0.2, KNOWN, draw.permutation(size) * INPUTS + draw.integers(0, 3, size))

    found = repeated(low, high, rank)

    names = ("_low", "_high", "_winner", "_known", "_input", "_times")
    rows = list(zip(*(found[name].tolist() for name in names), strict=True))
    assert len(set(rows)) == len(rows)
    assert set(rows) == counted_one_by_one(low.tolist(), high.tolist(), rank.tolist())


def records(*rows: tuple[int, int, int, str | None, str | None]) -> pa.RecordBatch:
    low, high, rank, said, refused = zip(*rows, strict=True)
    return pa.RecordBatch.from_pydict({
        "_low": pa.array(low, pa.int64()), "_high": pa.array(high, pa.int64()), "_rank": pa.array(rank, pa.int64()),
        "_said": pa.array(said, pa.string()), "_filled": pa.array([3] * len(rows), pa.int64()),
        "_piece": pa.array([7] * len(rows), pa.int64()), "_refused": pa.array(refused, pa.string()),
    })  # fmt: skip


def test_a_partition_is_told_by_counts_refused_records_and_repeated_identities_over_all_its_batches() -> None:
    batches = [
        records((1, 1, 0, None, None), (2, 2, 64, "late\n\n", '{"a": 1}')),
        records((1, 1, 128, None, None), (5, 5, 192, None, None), (5, 5, KNOWN, None, None)),
        records((6, 6, KNOWN, None, None)),
    ]

    rows = told(settle(NAMES)(iter(batches)))

    assert [row["_refused"] for row in rows[REFUSED]] == ['{"a": 1}']
    assert {(row["_said"], row["_times"], row["_filled"], row["_piece"]) for row in rows[COUNTED]} == {
        (None, 3, 3, 7),
        ("late\n\n", 1, 3, 7),
    }
    assert {(row["_low"], row["_winner"], row["_known"], row["_times"]) for row in rows[REPEATED]} == {
        (1, 0, 0, 2),
        (5, 192, 1, 1),
    }


def told(batches: Iterator[pa.RecordBatch]) -> dict[str, list[dict[str, object]]]:
    found = defaultdict(list)
    for batch in batches:
        assert batch.schema.names == NAMES
        for row in batch.to_pylist():
            found[row["_kind"]].append(row)
    return found


def test_an_empty_partition_says_nothing() -> None:
    assert list(settle(NAMES)(iter(()))) == []
