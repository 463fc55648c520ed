"""Users with vectors and seen items for benches of the search, and the search as Spark's workers run it over them.

A user is a row of a Delta table: user_id, vector, seen (item codes). The items' vectors lie in a model folder, from
where the workers map them into memory as they do when they score. What comes out is a row a place of a user's list.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bench_workers import Watch, spark_of
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.config import load
from shelfcast.models import folder
from shelfcast.models.item_search import ItemSearch

# Spark's workers, which import this module, find it by it.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

VECTORS = "vectors.npy"
_BLOCK = 4096  # users made at once
_OUT = "user_id string, rank int, product_id string, score float"
_NEAR = 1e-5  # of the largest score: closer ones may change places, they are rounded differently


def options(description: str | None) -> argparse.ArgumentParser:
    """A command line with what the benches of the search have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--items", type=int, default=65_204)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seen", type=int, default=50, help="items of each user that it must not be given")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="Spark tasks, bare processes")
    parser.add_argument("--sample", type=int, default=200, help="users whose lists are checked by brute force")
    parser.add_argument("--folder", type=Path, help="keeps the tables for the next call; default: a temporary one")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def configured(where: Path, cores: int) -> Any:
    """Settings of a session with tasks of like size."""
    sets = [f"spark.master=local[{cores}]"]
    settings = load(sets=sets, lake=str(where)).settings
    conf = {**settings.spark.conf, "spark.sql.files.minPartitionNum": str(8 * cores)}
    return settings.model_copy(update={"spark": settings.spark.model_copy(update={"conf": conf})})


def people(block: int, users: int, items: int, dim: int, seen: int, seed: int) -> tuple[Any, Any]:
    """Vectors [n, dim] and seen items [n, seen] of the users of one block."""
    generator = np.random.default_rng([seed, 1, block])
    size = min(_BLOCK, users - block * _BLOCK)
    return generator.standard_normal((size, dim), np.float32), generator.integers(0, items, (size, seen), np.int32)


def blocks(users: int) -> range:
    return range(-(-users // _BLOCK))


def first_user(block: int) -> int:
    return block * _BLOCK


def stock(where: Path, items: int, dim: int, seed: int) -> str:
    """Random items' vectors in a model folder: where it is."""
    uri = str(where / f"items-{items}-{dim}-{seed}")
    if not folder.complete(uri):
        found = np.random.default_rng([seed, 2]).standard_normal((items, dim), np.float32)
        folder.publish(uri, {VECTORS: folder.encode_array(found)})
    return uri


def write_people(spark: SparkSession, where: Path, users: int, items: int, dim: int, seen: int, seed: int) -> str:
    """The table of users: where it is; kept if there already."""
    uri = str(where / f"users-{users}-{items}-{dim}-{seen}-{seed}")
    if Path(uri, "_delta_log").exists():
        return uri

    def made(given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in given:
            for block in batch.column(0).to_pylist():
                vectors, codes = people(block, users, items, dim, seen, seed)
                ids = [f"u{n:09d}" for n in range(first_user(block), first_user(block) + len(vectors))]
                columns = [pa.array(ids), _lists(vectors), _lists(codes)]
                yield pa.RecordBatch.from_arrays(columns, ["user_id", "vector", "seen"])

    files = 8 * spark.sparkContext.defaultParallelism
    found = spark.range(0, len(blocks(users)), 1, files)
    found = found.mapInArrow(made, "user_id string, vector array<float>, seen array<int>")
    found.write.format("delta").mode("overwrite").save(uri)
    return uri


def _lists(values: Any) -> pa.Array:
    edges = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(edges), pa.array(values.reshape(-1)))


def ranked(users: DataFrame, uri: str, k: int) -> DataFrame:
    """The ``k`` best items of each user that it has not seen, a row a place."""
    return users.mapInArrow(scorer(uri, k), _OUT)


def scorer(uri: str, k: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        vectors = folder.mapped(uri, VECTORS, Path(SparkFiles.getRootDirectory()))
        search = ItemSearch(np.arange(len(vectors)), vectors)
        products = pa.array([f"p{n:09d}" for n in range(len(vectors))])
        for batch in batches:
            if not batch.num_rows:
                continue
            own = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
            sizes = pc.list_value_length(batch["seen"]).to_numpy()
            masked = np.concatenate([[0], np.cumsum(sizes)]), batch["seen"].flatten().to_numpy()
            best = search.best(own, k, masked)
            rows, places = np.nonzero(best.codes >= 0)
            columns = [
                batch["user_id"].take(pa.array(rows)),
                pa.array((places + 1).astype(np.int32)),
                products.take(pa.array(best.codes[rows, places])),
                pa.array(best.scores[rows, places]),
            ]
            yield pa.RecordBatch.from_arrays(columns, ["user_id", "rank", "product_id", "score"])

    return score


def searched(where: Path, given: argparse.Namespace, users: int, uri: str, count: int) -> tuple[dict[str, float], str]:
    """Reads users, searches among ``count`` items, masks, writes, in fresh workers: figures, and where they are."""
    settings = configured(where, given.cores)
    with spark_of(settings) as spark:
        source = write_people(spark, where, users, count, given.dim, given.seen, given.seed)
    target = str(where / "lists")
    with spark_of(settings) as spark, Watch() as watch:
        began = time.perf_counter()
        lists = ranked(spark.read.format("delta").load(source), uri, given.k)
        lists.write.format("delta").mode("overwrite").save(target)
        seconds = time.perf_counter() - began
    rate = users * count / seconds / given.cores
    return {
        "users": users, "items": count, "seconds": seconds, "pairs_per_second_core": rate,
        "cpu_seconds": watch.cpu_seconds, "worker_peak_mb": watch.peak_mb,
    }, target  # fmt: skip


def checked(spark: SparkSession, given: argparse.Namespace, users: int, uri: str, lists: str) -> int:
    """Compares the stored lists of some users with brute force.

    Returns:
        places that hold another item than brute force's, of a score that rounding cannot tell from it.

    Raises:
        SystemExit: if a list is not what it must be.
    """
    items = np.array(folder.mapped(uri, VECTORS, Path(lists).parent))
    chosen = np.random.default_rng(given.seed).choice(users, min(given.sample, users), replace=False)
    wanted = [f"u{n:09d}" for n in chosen]
    rows = spark.read.format("delta").load(lists).where(F.col("user_id").isin(wanted)).toPandas()
    found = {user: own.sort_values("rank") for user, own in rows.groupby("user_id")}
    count = spark.read.format("delta").load(lists).count()
    if count != users * min(given.k, len(items)):
        raise SystemExit(f"{count} rows were written for {users} users, expected {given.k} a user")
    swapped = 0
    for number, user in zip(chosen.tolist(), wanted, strict=True):
        vectors, seen = people(number // _BLOCK, users, len(items), given.dim, given.seen, given.seed)
        row = number - first_user(number // _BLOCK)
        codes = found[user]["product_id"].str[1:].astype(int).to_numpy()
        swapped += compared(f"user {user}", vectors[row], items, seen[row], codes, given.k)
    return swapped


def compared(who: str, user: Any, items: Any, seen: Any, codes: Any, k: int) -> int:
    """As :func:`checked`, for one list: ``codes``, best first."""
    scores = items.astype(np.float64) @ user
    near = _NEAR * float(np.abs(scores).max())
    scores[seen] = -np.inf
    best = np.argsort(-scores, kind="stable")[:k]
    if len(codes) != k or len(set(codes.tolist())) != k:
        raise SystemExit(f"{who} has {len(codes)} places with {len(set(codes.tolist()))} items, expected {k} different")
    if not np.allclose(scores[codes], scores[best], rtol=0, atol=near):
        raise SystemExit(f"{who} has the items {codes.tolist()}, brute force finds {best.tolist()}")
    return int(np.count_nonzero(codes != best))
