"""Pairs of users and items scored a second and core by the search in Spark's workers ÷ by bare faiss IndexFlatIP.

Counted for the workers: starting them, reading each user's vector and seen items from Delta, the exact search with the
seen items masked, and writing the K best to Delta, a row a place. Counted for faiss: searches of the same vectors,
which lie in memory, for the K best without a mask, one thread in each of as many processes. Faiss is timed before and
after. Lists of some users are compared with brute force in double precision; a wrong one ends the bench with an error.
Then a larger catalogue is searched, to show the workers' memory.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_vectors  # noqa: E402
import numpy as np  # noqa: E402
from bench_workers import spark_of  # noqa: E402

_AT_ONCE = 16 * 1024  # users of one call of faiss


def arguments() -> argparse.Namespace:
    parser = bench_vectors.options(__doc__)
    parser.add_argument("--large-users", type=int, default=200_000, help="of the larger catalogue; 0: leave it out")
    parser.add_argument("--large-items", type=int, default=200_000)
    parser.add_argument("--bare-users", type=int, help="that faiss searches for; default: all")
    return parser.parse_args()


def bare(given: argparse.Namespace, uri: str, share: int, meeting: Any, out: Any) -> None:
    """One process of bare faiss over every ``cores``-th block of users: puts (users, seconds)."""
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    import faiss

    faiss.omp_set_num_threads(1)
    items = np.load(Path(uri) / bench_vectors.VECTORS)
    index = faiss.IndexFlatIP(given.dim)
    index.add(items)
    users = given.bare_users or given.users
    own = [block for block in bench_vectors.blocks(users) if block % given.cores == share]
    made = (bench_vectors.people(b, users, given.items, given.dim, given.seen, given.seed)[0] for b in own)
    vectors = np.concatenate([np.zeros((0, given.dim), np.float32), *made])
    index.search(vectors[:_AT_ONCE], given.k)
    meeting.wait()
    began = time.perf_counter()
    for start in range(0, len(vectors), _AT_ONCE):
        index.search(vectors[start : start + _AT_ONCE], given.k)
    out.put((len(vectors), time.perf_counter() - began))


def bare_rate(given: argparse.Namespace, uri: str) -> float:
    """Pairs a second and core, all processes at once."""
    context = multiprocessing.get_context("spawn")
    meeting, out = context.Barrier(given.cores), context.Queue()
    processes = [context.Process(target=bare, args=(given, uri, n, meeting, out)) for n in range(given.cores)]
    for process in processes:
        process.start()
    found = [out.get(timeout=3600) for _ in processes]
    for process in processes:
        process.join()
    return sum(users / seconds for users, seconds in found) * given.items / given.cores


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        uri = bench_vectors.stock(where, given.items, given.dim, given.seed)
        before = bare_rate(given, uri)
        ours, lists = bench_vectors.searched(where, given, given.users, uri, given.items)
        after = bare_rate(given, uri)
        with spark_of(bench_vectors.configured(where, given.cores)) as spark:
            swapped = bench_vectors.checked(spark, given, given.users, uri, lists)
        large = larger(where, given) if given.large_users else None
    report(given, ours, (before, after), swapped, large)


def larger(where: Path, given: argparse.Namespace) -> dict[str, float]:
    uri = bench_vectors.stock(where, given.large_items, given.dim, given.seed)
    found, lists = bench_vectors.searched(where, given, given.large_users, uri, given.large_items)
    with spark_of(bench_vectors.configured(where, given.cores)) as spark:
        swapped = bench_vectors.checked(spark, given, given.large_users, uri, lists)
    return {**found, "swapped_places": swapped}


def report(
    given: argparse.Namespace, ours: dict[str, float], bares: tuple[float, float], swapped: int,
    large: dict[str, float] | None,
) -> None:  # fmt: skip
    bare_, rate = sum(bares) / 2, ours["pairs_per_second_core"]
    print(
        f"{given.users:,} users × {given.items:,} items, {given.dim} dimensions, {given.seen} masked, K = {given.k}, "
        f"{given.cores} cores: {ours['seconds']:.1f} s, {rate / 1e6:,.0f} M pairs/s/core, a worker's memory at most "
        f"{ours['worker_peak_mb']:.0f} MB\n"
        f"bare faiss IndexFlatIP {bare_ / 1e6:,.0f} M pairs/s/core ({bares[0] / 1e6:,.0f} before, "
        f"{bares[1] / 1e6:,.0f} after)\n"
        f"lists of {min(given.sample, given.users)} users are those of brute force; {swapped} places hold the other "
        "one of two items that rounding cannot tell apart"
    )
    if large is not None:
        print(
            f"{given.large_users:,} users × {given.large_items:,} items: {large['seconds']:.1f} s, "
            f"{large['pairs_per_second_core'] / 1e6:,.0f} M pairs/s/core, a worker's memory at most "
            f"{large['worker_peak_mb']:.0f} MB; lists are those of brute force"
        )
    figures = {
        "bench": "topk-faiss", "ratio": round(rate / bare_, 4), "k": given.k, "dim": given.dim, "seen": given.seen,
        "cores": given.cores, "bare_pairs_per_second_core": round(bare_), "bare_before": round(bares[0]),
        "bare_after": round(bares[1]), "checked_users": min(given.sample, given.users), "swapped_places": swapped,
        **{name: round(value, 2) for name, value in ours.items()},
        **{f"large_{name}": round(value, 2) for name, value in (large or {}).items()},
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
