"""Users a second that the step which scores gives lists, and the share of its workers' time spent in the two searches.

A lake of random shoppers is made, and a recommender of the shipped configuration trained on it for a moment. Counted:
the whole step, from gold/interactions to gold/recommendations: histories, workers, TensorFlow and the model, the mixed
ranking with its ranker, the check of every list, writing. Where a worker's time goes is measured on some of the users
in a process of its own, one thread: the encoder, what users touched (repeat search), what they did not (novel search),
features of the candidates, the ranker, and the lists made of its scores.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_windows  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from bench_workers import Watch, spark_of  # noqa: E402

from shelfcast.config import load  # noqa: E402
from shelfcast.lake import catalogue as shop  # noqa: E402
from shelfcast.lake.contract import spark_type  # noqa: E402
from shelfcast.lake.snapshot import Snapshot  # noqa: E402
from shelfcast.lake.tables import contract  # noqa: E402
from shelfcast.models.catalogue import Catalogue  # noqa: E402
from shelfcast.score import recommendations  # noqa: E402
from shelfcast.train import recommender as training  # noqa: E402

TABLE = "gold/interactions"
AS_OF = bench_windows.AS_OF  # a Sunday
_WEEKS = 20
_BLOCK = 2048  # users made at once
_OWN = 40  # products that a user comes back to
_SEARCHES = ("repeat search", "novel search")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=60_000)
    parser.add_argument("--items", type=int, default=65_204)
    parser.add_argument("--events", type=int, default=100, help="of a user, on average")
    parser.add_argument("--measured", type=int, default=4_000, help="users on whom the parts are measured, about")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="Spark tasks")
    parser.add_argument("--folder", type=Path, help="keeps lake and model for the next call; default: a temporary one")
    parser.add_argument(
        "--set", action="append", default=[], help="of the configuration, e.g. recommender.candidates=300"
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def rows(spark: Any, given: argparse.Namespace) -> Any:
    """gold/interactions."""
    promised = contract(TABLE)
    schema = ", ".join(f"{c.name} {spark_type(c.type).simpleString()}" for c in promised.columns)
    users, items, events, seed = given.users, given.items, given.events, given.seed

    def made(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block in batch.column(0).to_pylist():
                generator = np.random.default_rng([seed, block])
                table = shoppers(generator, block * _BLOCK, min(_BLOCK, users - block * _BLOCK), items, events)
                yield table.select(promised.names()).combine_chunks().to_batches()[0]

    return spark.range(0, -(-users // _BLOCK), 1, 4 * given.cores).mapInArrow(made, schema)


def shoppers(generator: Any, first: int, count: int, items: int, events: int) -> pa.Table:
    """Weekly rows of ``count`` users: half of what they do is with products of their own, half follows popularity."""
    popular = np.cumsum((np.arange(items) + 50.0) ** -0.8)
    sizes = np.maximum(generator.poisson(events, count), 1)
    user = np.repeat(np.arange(count), sizes)

    def drawn(shape: Any) -> Any:
        return np.minimum(np.searchsorted(popular, generator.random(shape) * popular[-1]), items - 1)

    own, again = drawn((count, _OWN)), generator.random(len(user)) < 0.5
    item = np.where(again, own[user, generator.integers(0, _OWN, len(user))], drawn(len(user)))
    ago = np.sort(user * 7 * _WEEKS + generator.integers(0, 7 * _WEEKS, len(user))) - user * 7 * _WEEKS
    day = training.number(AS_OF) - 7 * _WEEKS + 1 + ago
    week = user * _WEEKS + ago // 7
    starts = np.flatnonzero(np.concatenate([[True], week[1:] != week[:-1]]))
    edges = pa.array(np.concatenate([starts, [len(week)]]).astype(np.int32))
    who = user[starts]
    bucket = (first + who) * 2_654_435_761 % 1024
    kinds = pa.array(["view", "purchase"]).take(pa.array((generator.random(len(user)) < 0.8).astype(np.int8)))

    def lists(values: Any) -> pa.Array:
        return pa.ListArray.from_arrays(edges, values)

    seconds = pa.array(day.astype(np.int64) * 86_400_000_000, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "user_id": pa.array([f"u{n:09d}" for n in first + who]),
            "week_start": pa.array((day[starts] - ago[starts] % 7).astype(np.int32)).cast(pa.date32()),
            "bucket": pa.array(bucket.astype(np.int32)),
            "store_id": pa.array([f"s{n}" for n in who % 50]),
            "items": lists(pa.array([f"p{n:09d}" for n in item])),
            "types": lists(kinds),
            "times": lists(seconds),
            "dates": lists(pa.array(day.astype(np.int32)).cast(pa.date32())),
            "quantities": lists(pa.array(np.ones(len(user), np.float32))),
        }
    )


def step(spark: Any, settings: Any, **given: Any) -> Any:
    return replace(bench_windows.step(spark, settings, **given), attempt=int(time.time()))


def prepared(given: argparse.Namespace, settings: Any) -> tuple[str, bytes, list[str]]:
    """The lake and a model: its folder, the catalogue at AS_OF, the event types that are predicted."""
    with spark_of(settings) as spark:
        if not Snapshot.exists(settings.lake, TABLE):
            step(spark, settings).replace(TABLE, rows(spark, given))
        now = step(spark, settings)
        uri = str(training.run(now).counts["folder"])
        wanted = ["purchase"]
        catalogue = Catalogue.from_table(shop.collected(shop.catalogue(now, AS_OF, wanted)))
    return uri, catalogue.to_bytes(), wanted


def scored(settings: Any, uri: str) -> dict[str, float]:
    """The whole step, in fresh workers."""
    with spark_of(settings) as spark, Watch() as watch:
        began = time.perf_counter()
        counts = recommendations.run(step(spark, settings, models={"recommender": uri})).counts
        seconds = time.perf_counter() - began
    return {
        "users": counts["users"], "rows": counts["rows"], "seconds": seconds,
        "users_per_second": counts["users"] / seconds, "cpu_seconds": watch.cpu_seconds,
        "worker_peak_mb": watch.peak_mb,
    }  # fmt: skip


def parts(
    given: argparse.Namespace, settings: Any, uri: str, data: bytes, wanted: list[str], out: Any
) -> None:  # fmt: skip
    """Microseconds a user of each part of a worker's own work, alone on a core."""
    from shelfcast.models.recommending import Recommender
    from shelfcast.train import histories

    model, catalogue, day = Recommender.load(uri), Catalogue.from_bytes(data), training.number(AS_OF)
    version, share = Snapshot(settings.lake, TABLE).version, max(given.users // given.measured, 1)
    known = settings.recommender.event_types
    people = histories.read(settings.lake, version, 0, share, day, catalogue, wanted, known)
    k, spent = settings.score.k, defaultdict[str, float](float)
    popular = np.repeat(catalogue.best_sellers(2 * k)[None], len(people), 0)

    @contextmanager
    def stopwatch(part: str) -> Iterator[None]:
        began = time.process_time()
        yield
        spent[part] += time.process_time() - began

    model.recommend(people, catalogue, day, popular, k)
    model.watch = stopwatch
    model.recommend(people, catalogue, day, popular, k)
    out.put((len(people), {part: round(seconds / len(people) * 1e6, 2) for part, seconds in spent.items()}))


def breakdown(
    given: argparse.Namespace, settings: Any, uri: str, data: bytes, wanted: list[str]
) -> tuple[int, dict[str, float]]:
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    os.environ.update(dict.fromkeys(threads, "1"))
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=parts, args=(given, settings, uri, data, wanted, out))
    process.start()
    found = out.get(timeout=1800)
    process.join()
    return int(found[0]), dict(found[1])


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        lake = (given.folder or Path(temporary)) / f"users-{given.users}-{given.items}-{given.events}-{given.seed}"
        sets = [
            f"spark.master=local[{given.cores}]",
            "train.launcher=inline",
            "train.ranks=1",
            "score.on_sale_weeks=20",
        ]
        sets += ["recommender.epochs=1", "recommender.epoch_targets=20000", *given.set]
        settings = load(sets=sets, lake=str(lake)).settings
        uri, data, wanted = prepared(given, settings)
        whole = scored(settings, uri)
        measured, each = breakdown(given, settings, uri, data, wanted)
        on_sale = int(Catalogue.from_bytes(data).on_sale.sum())
    report(given, whole, on_sale, measured, each)


def report(
    given: argparse.Namespace, whole: dict[str, float], on_sale: int, measured: int, each: dict[str, float]
) -> None:
    worker = sum(each.values())
    searches = sum(each[name] for name in _SEARCHES)
    print(
        f"{whole['users']:,} users of {given.events} events, {on_sale:,} products on sale: {whole['seconds']:.1f} s, "
        f"{whole['users_per_second']:,.0f} users/s on {given.cores} cores, a worker's memory at most "
        f"{whole['worker_peak_mb']:.0f} MB; of {measured:,} users:"
    )
    for name, microseconds in each.items():
        print(f"  {name:16s} {microseconds:8.1f} µs a user, {microseconds / worker:5.1%}")
    print(f"  the two searches {searches:8.1f} µs a user, {searches / worker:5.1%}")
    spark = whole["cpu_seconds"] / whole["users"] * 1e6 - worker
    print(f"  {'Spark, start':16s} {spark:8.1f} µs a user (CPU of the step less the parts above)")
    figures = {
        "bench": "rank-users", "ratio": round(searches / worker, 4),
        "ratio_without_encoder": round(searches / (worker - each["encoder"]), 4), "items_on_sale": on_sale,
        "events": given.events, "cores": given.cores, "measured_users": measured, "parts_microseconds": each,
        "ranked_per_second_core": round(1e6 / worker), **{name: round(value, 2) for name, value in whole.items()},
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
