"""Series scored a second by Spark's Python workers ÷ by the bare graph on tensors in memory, in as many processes.

Counted for the workers: starting them, loading TensorFlow and the model, reading gold/windows from Delta, tensors, the
network, quantiles and sums, and every row of gold/forecasts handed back to Spark, which drops them (``noop``).
Counted for the bare graph: calls of the same tf.function, one thread a process, on a batch of the shipped size. It is
timed before and after the workers. A tenth of the series is scored first: both peaks of the workers' memory are shown.
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

import bench_windows  # noqa: E402
from bench_workers import Watch, spark_of  # noqa: E402

from shelfcast.config import load  # noqa: E402
from shelfcast.lake.cutoffs import cutoffs  # noqa: E402
from shelfcast.lake.snapshot import Snapshot  # noqa: E402
from shelfcast.lake.store import Lake  # noqa: E402
from shelfcast.score import forecasts  # noqa: E402
from shelfcast.train import forecaster  # noqa: E402

_TRAINED_ON = 2000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=2_000_000)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="Spark tasks, bare processes")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the bare graph, each time")
    parser.add_argument("--folder", type=Path, help="keeps the lakes for the next call; default: a temporary one")
    parser.add_argument("--write", action="store_true", help="also write the tenth as a slice of gold/forecasts, timed")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def configured(folder: Path, series: int, cores: int) -> Any:
    """Settings of a lake of that many series."""
    sets = [f"spark.master=local[{cores}]", "train.launcher=inline", "train.ranks=1"]
    sets += ["forecaster.epochs=1", "forecaster.least_steps=1"]
    return load(sets=sets, lake=str(folder / f"series-{series}")).settings


def trained(folder: Path, cores: int, seed: int) -> str:
    """A model of the shipped shape: where it is."""
    settings = configured(folder, _TRAINED_ON, cores)
    bench_windows.write(settings, _TRAINED_ON, seed)
    return str(forecaster.run(bench_windows.step(None, settings)).counts["folder"])


def scored(folder: Path, series: int, cores: int, seed: int, model: str, write: bool) -> dict[str, float]:
    """Score a lake of ``series`` in fresh workers."""
    settings = configured(folder, series, cores)
    bench_windows.write(settings, series, seed)
    with spark_of(settings) as spark, Watch() as watch:
        began = time.perf_counter()
        found = rows(spark, settings, model)
        found.write.format("noop").mode("overwrite").save()
        seconds = time.perf_counter() - began
    figures = {"seconds": seconds, "cpu_seconds": watch.cpu_seconds, "worker_peak_mb": watch.peak_mb}
    if write:
        with spark_of(settings) as spark:
            began = time.perf_counter()
            step = bench_windows.step(spark, settings)
            step.replace(forecasts.TABLE, rows(spark, settings, model), [bench_windows.AS_OF])
            figures["seconds_written"] = time.perf_counter() - began
    return figures


def rows(spark: Any, settings: Any, model: str) -> Any:
    as_of = bench_windows.AS_OF
    windows = forecasts.at_cutoffs(Lake(spark, settings.lake).read(bench_windows.TABLE), cutoffs(settings, as_of))
    return forecasts.forecasts(windows, model, "bench", as_of, settings.windows.horizon, settings.score.batch)


def sample(lake: str, count: int) -> Any:
    """Some rows as Spark's workers get them."""
    import pyarrow as pa

    batch = next(Snapshot(lake, bench_windows.TABLE).batches(list(forecasts._INPUT), rows=count))  # noqa: SLF001
    return pa.Table.from_batches([batch])


def bare(model: str, lake: str, batch: int, seconds: float, meeting: Any, out: Any) -> None:
    """One process of the bare graph: puts (series a second, CPU seconds a series)."""
    import tensorflow as tf

    from shelfcast.models import window_tensors
    from shelfcast.models.trained_forecaster import last_position

    loaded = forecasts.loaded(model)
    table = sample(lake, batch)
    windows = window_tensors.read(table, loaded.vocabularies, loaded.inputs.seasonal)
    given = window_tensors.tensors(windows, loaded.norm, loaded.inputs)
    inputs = [tf.constant(part) for part in (given.history, given.planned, given.statics, given.started)]
    for network in loaded.networks:
        last_position(network, inputs)
    meeting.wait()
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        for network in loaded.networks:
            last_position(network, inputs)
        done += len(windows)
    out.put((done / (time.perf_counter() - began), (time.process_time() - cpu) / done))


def bare_rate(model: str, lake: str, batch: int, seconds: float, cores: int) -> tuple[float, float]:
    """Series a second of all processes together, and CPU seconds a series."""
    context = multiprocessing.get_context("spawn")
    meeting, out = context.Barrier(cores), context.Queue()
    given = (model, lake, batch, seconds, meeting, out)
    processes = [context.Process(target=bare, args=given) for _ in range(cores)]
    for process in processes:
        process.start()
    found = [out.get(timeout=300 + seconds) for _ in processes]
    for process in processes:
        process.join()
    return sum(rate for rate, _ in found), sum(cpu for _, cpu in found) / cores


def parts(model: str, lake: str, batch: int, out: Any) -> None:
    """Microseconds a series of each part of a worker's own work, alone on a core."""
    from shelfcast.models import window_tensors
    from shelfcast.models.trained_forecaster import last_position

    loaded, table = forecasts.loaded(model), sample(lake, batch)
    figures: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        found = work()
        began, times = time.process_time(), 5
        for _ in range(times):
            found = work()
        figures[name] = round((time.process_time() - began) / times / len(table) * 1e6, 2)
        return found

    windows = timed("read", lambda: window_tensors.read(table, loaded.vocabularies, loaded.inputs.seasonal))
    given = timed("tensors", lambda: window_tensors.tensors(windows, loaded.norm, loaded.inputs))
    inputs = (given.history, given.planned, given.statics, given.started)
    timed("network", lambda: [last_position(network, inputs) for network in loaded.networks])
    before = sum(figures.values())
    found = timed("distributions", lambda: loaded.forecast(table))
    figures["distributions"] = round(figures["distributions"] - before, 2)  # calibration, sums, quantiles
    as_of = bench_windows.AS_OF
    timed("rows", lambda: forecasts.long_rows(table, found, as_of, loaded.horizon, "bench"))
    out.put(figures)


def breakdown(model: str, lake: str, batch: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=parts, args=(model, lake, batch, out))
    process.start()
    found = dict(out.get(timeout=300))
    process.join()
    return found


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        few = max(given.series // 10, 1)
        model = trained(folder, given.cores, given.seed)
        settings = configured(folder, few, given.cores)
        batch = settings.score.batch
        small = scored(folder, few, given.cores, given.seed, model, given.write)
        print(f"{few:,} series: {small['seconds']:.1f} s, a worker's memory at most {small['worker_peak_mb']:.0f} MB")
        before = bare_rate(model, settings.lake, batch, given.seconds, given.cores)
        large = scored(folder, given.series, given.cores, given.seed, model, write=False)
        after = bare_rate(model, settings.lake, batch, given.seconds, given.cores)
        each = breakdown(model, settings.lake, batch)
    report(given, batch, small, large, (before, after), each)


def report(
    given: argparse.Namespace, batch: int, small: dict[str, float], large: dict[str, float],
    bares: tuple[tuple[float, float], tuple[float, float]], each: dict[str, float],
) -> None:  # fmt: skip
    rate, bare_ = given.series / large["seconds"], (bares[0][0] + bares[1][0]) / 2
    cpu, bare_cpu = large["cpu_seconds"] / given.series * 1e6, (bares[0][1] + bares[1][1]) / 2 * 1e6
    print(
        f"{given.series:,} series: {large['seconds']:.1f} s, a worker's memory at most "
        f"{large['worker_peak_mb']:.0f} MB\n"
        f"in Spark's workers {rate:,.0f} series/s, {cpu:.1f} µs of CPU each; the bare graph {bare_:,.0f} series/s "
        f"({bares[0][0]:,.0f} before, {bares[1][0]:,.0f} after), {bare_cpu:.1f} µs; {given.cores} processes, batches "
        f"of {batch}"
    )
    worker = sum(each.values())
    for name, microseconds in each.items():
        print(f"  {name:20s} {microseconds:8.2f} µs a series")
    print(f"  {'Spark, Arrow, start':20s} {cpu - worker:8.2f} µs a series (CPU of the run less the parts above)")
    if "seconds_written" in small:
        print(f"  the tenth scored and written as a slice of gold/forecasts: {small['seconds_written']:.1f} s")
    figures = {
        "bench": "forecast-udf", "ratio": round(rate / bare_, 4), "series": given.series, "cores": given.cores,
        "batch": batch, "series_per_second": round(rate), "bare_series_per_second": round(bare_),
        "bare_before": round(bares[0][0]), "bare_after": round(bares[1][0]),
        "cpu_microseconds": round(cpu, 2), "bare_cpu_microseconds": round(bare_cpu, 2),
        "cpu_ratio": round(bare_cpu / cpu, 4), "parts_microseconds": each,
        **{name: round(value, 2) for name, value in large.items()},
        **{f"tenth_{name}": round(value, 2) for name, value in small.items()},
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
