"""Pairs of users and items scored a second and core by the search in Spark's workers ÷ by Spark ALS.

ALS is fitted (a single iteration: only its size counts) and asked for the K best items of all its users,
``recommendForAllUsers``, which Spark drops (``noop``); fitting is not counted. The search has the items' vectors of
that model and many more users, since both rates are to be taken over half a minute or more. Counted for it: starting
the workers, reading each user's vector and seen items from Delta, the exact search with the seen items masked, and
writing the K best to Delta, a row a place. Lists of some users of both are compared with brute force in double
precision; a wrong one ends the bench with an error.
"""

import argparse
import json
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
from pyspark.ml.recommendation import ALS  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

from shelfcast.models import folder  # noqa: E402

_PRIME = 7_919  # the step from one rating's item to the next one's: every item has a rating


def arguments() -> argparse.Namespace:
    parser = bench_vectors.options(__doc__)
    parser.add_argument("--als-users", type=int, default=40_000)
    return parser.parse_args()


def als(given: argparse.Namespace, where: Path) -> tuple[dict[str, float], str]:
    """Figures of Spark ALS, and a model folder with its items' vectors."""
    each = -(-2 * given.items // given.als_users)
    if given.items % _PRIME == 0:
        raise SystemExit(f"--items must be no multiple of {_PRIME}, or some items have no rating")
    uri = str(where / f"als-items-{given.items}-{given.dim}-{given.als_users}")
    with spark_of(bench_vectors.configured(where, given.cores)) as spark:
        number = F.col("id")
        ratings = spark.range(given.als_users * each).select(
            (number / each).cast("int").alias("user"),
            (number * _PRIME % given.items).cast("int").alias("item"),
            F.rand(given.seed).alias("rating"),
        )
        model = ALS(rank=given.dim, maxIter=1, userCol="user", itemCol="item", seed=given.seed).fit(ratings)
        model.userFactors.cache().count()
        items = model.itemFactors.cache().orderBy("id").toPandas()
        table = np.stack(items["features"].to_numpy()).astype(np.float32)
        began = time.perf_counter()
        model.recommendForAllUsers(given.k).write.format("noop").mode("overwrite").save()
        seconds = time.perf_counter() - began
        some = np.random.default_rng(given.seed).choice(given.als_users, min(given.sample, given.als_users), False)
        asked = spark.createDataFrame([(int(n),) for n in some], "user int")
        lists = model.recommendForUserSubset(asked, given.k).toPandas().set_index("user")["recommendations"]
        users = model.userFactors.where(F.col("id").isin(some.tolist())).toPandas().set_index("id")["features"]
    for user, own in lists.items():
        codes = np.array([place["item"] for place in own])
        none = np.zeros(0, int)
        bench_vectors.compared(f"ALS' user {user}", np.array(users[user], np.float64), table, none, codes, given.k)
    folder.publish(uri, {bench_vectors.VECTORS: folder.encode_array(table)})
    rate = given.als_users * given.items / seconds / given.cores
    return {"seconds": seconds, "pairs_per_second_core": rate}, uri


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        theirs, uri = als(given, where)
        ours, lists = bench_vectors.searched(where, given, given.users, uri, given.items)
        with spark_of(bench_vectors.configured(where, given.cores)) as spark:
            swapped = bench_vectors.checked(spark, given, given.users, uri, lists)
    report(given, ours, theirs, swapped)


def report(given: argparse.Namespace, ours: dict[str, float], theirs: dict[str, float], swapped: int) -> None:
    rates: list[Any] = [found["pairs_per_second_core"] for found in (ours, theirs)]
    print(
        f"{given.items:,} items, {given.dim} dimensions, K = {given.k}, {given.cores} cores\n"
        f"search in Spark's workers, {given.users:,} users, {given.seen} masked: {ours['seconds']:.1f} s, "
        f"{rates[0] / 1e6:,.1f} M pairs/s/core, a worker's memory at most {ours['worker_peak_mb']:.0f} MB\n"
        f"Spark ALS, {given.als_users:,} users: {theirs['seconds']:.1f} s, {rates[1] / 1e6:,.1f} M pairs/s/core\n"
        f"lists of {min(given.sample, given.users)} users are those of brute force; {swapped} places hold the other "
        "one of two items that rounding cannot tell apart"
    )
    figures = {
        "bench": "topk-als", "ratio": round(rates[0] / rates[1], 2), "k": given.k, "dim": given.dim,
        "seen": given.seen, "cores": given.cores, "checked_users": min(given.sample, given.users),
        "swapped_places": swapped, **{name: round(value, 2) for name, value in ours.items()},
        "als_users": given.als_users, **{f"als_{name}": round(value, 2) for name, value in theirs.items()},
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
