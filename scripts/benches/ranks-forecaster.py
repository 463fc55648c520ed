"""Windows trained on a second by two ranks that join their gradients ÷ by two processes that are not coupled.

Both sides take the same steps, the training's own: batches from gold/windows of the size that the configuration makes
of so many series, forward, backward, clipped Adam, one thread each, side by side on the same cores. They are timed in
turn, from when all are warm.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "benches")]  # the ranks find both by it

_WARM = 20  # steps before the clock starts


def arguments() -> argparse.Namespace:
    import bench_windows

    parser = bench_windows.options(__doc__, series=600_000, turns=2)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each side, each turn")
    parser.add_argument("--ranks", type=int, default=2)
    return parser.parse_args()


def steps(payload: dict[str, Any], collective: Any) -> dict[str, Any]:
    """What each rank does: training steps for about payload["seconds"] s. Returns windows, seconds and steps.

    Args:
        payload: as the training's, and seconds, share (which part of the rows an uncoupled process takes, of how many)
            and meeting, a folder where uncoupled processes wait for each other.
    """
    from shelfcast.settings import Forecaster
    from shelfcast.train.collective import Collective
    from shelfcast.train.forecaster_fit import Fit, share_of
    from shelfcast.train.windows_share import WindowsShare

    place, of = payload["share"] or (collective.rank, collective.size)
    # The rows of a rank without its partners: the same part of the buckets as in the coupled run.
    reader = WindowsShare(payload["lake"], payload["version"], payload["chains"], Collective(place, of))
    reader.collective = collective
    hyper = Forecaster.model_validate(payload["hyper"])
    share = share_of(reader, hyper)
    fit = Fit(share, hyper, payload["seed"], share.horizon, collective)
    epochs = Epochs(fit, payload["seed"])
    began = time.perf_counter()
    epochs.take(_WARM)
    epochs.take(_WARM)  # the first ones trace
    took = (time.perf_counter() - began) / 2 / _WARM
    began = time.perf_counter()
    epochs.take(_WARM)
    took = min(took, (time.perf_counter() - began) / _WARM)
    count = int(collective.agree(max(int(payload["seconds"] / took), 1)))
    meet(payload["meeting"], place, of)
    began, cpu = time.perf_counter(), time.process_time()
    windows = epochs.take(count)
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    found = {"windows": windows, "seconds": seconds, "steps": count, "cpu": busy, "batch": fit.batch}
    parts = collective.gather(found)
    return {
        **found,
        "rate": sum(part["windows"] / part["seconds"] for part in parts),
        "cpu_each": sum(part["cpu"] for part in parts) / max(sum(part["windows"] for part in parts), 1),
    }


class Epochs:
    """A fit's steps one after another, whichever epoch they belong to."""

    def __init__(self, fit: Any, seed: int) -> None:
        self.fit, self.seed, self.number = fit, seed, 0
        self.batches: Any = iter(())

    def take(self, count: int) -> int:
        """Train on the next ``count`` batches. Returns their windows."""
        import numpy as np

        windows = 0
        for _ in range(count):
            batch = next(self.batches, None)
            if batch is None:
                self.number += 1
                generator = np.random.default_rng([self.seed, self.number, self.fit.collective.rank])
                self.batches = self.fit.batches(generator)
                batch = next(self.batches)
            _ = [float(value) for value in self.fit._step(*batch)]  # noqa: SLF001
            windows += len(batch[0])
        return windows


def meet(folder: str, place: int, of: int) -> None:
    """Wait until all processes of this folder are here."""
    (Path(folder) / str(place)).touch()
    while len(list(Path(folder).iterdir())) < of:
        time.sleep(0.01)


def main() -> None:
    import bench_windows

    from shelfcast.config import load

    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        cores = len(os.sched_getaffinity(0))
        sets = [f"spark.master=local[{cores}]", f"train.ranks={given.ranks}", "train.threads=1", *given.set]
        settings = load(sets=sets, lake=str(folder / f"series-{given.series}")).settings
        bench_windows.write(settings, given.series, given.seed)
        payload = training(bench_windows.step(None, settings), given)
        turns = [(apart(payload, settings.train), joined(payload, settings.train)) for _ in range(given.turns)]
    report(given, turns)


def training(step: Any, given: argparse.Namespace) -> dict[str, Any]:
    from shelfcast.train.chains import TABLE, chains

    version = step.version(TABLE)
    return {
        "lake": step.lake.uri, "version": version, "chains": chains(step, version), "seed": given.seed,
        "hyper": step.settings.forecaster.model_dump(mode="json"), "seconds": given.seconds, "share": None,
    }  # fmt: skip


def joined(payload: dict[str, Any], train: Any) -> dict[str, Any]:
    from shelfcast.train.launch import launch

    with tempfile.TemporaryDirectory() as meeting:
        job = payload | {"meeting": meeting}
        return launch("ranks-forecaster:steps", job, train.model_copy(update={"launcher": "horovodrun"}))


def apart(payload: dict[str, Any], train: Any) -> list[dict[str, Any]]:
    from shelfcast.train.launch import launch

    alone = train.model_copy(update={"launcher": "inline", "ranks": 1})
    with tempfile.TemporaryDirectory() as meeting, ThreadPoolExecutor(train.ranks) as pool:
        jobs = [payload | {"meeting": meeting, "share": (place, train.ranks)} for place in range(train.ranks)]
        return list(pool.map(lambda job: launch("ranks-forecaster:steps", job, alone), jobs))


def report(given: argparse.Namespace, turns: list[tuple[list[dict[str, Any]], dict[str, Any]]]) -> None:
    ratios = []
    for separate, together in turns:
        alone = sum(found["rate"] for found in separate)
        ratios.append(together["rate"] / alone)
        cpu = sum(found["cpu_each"] for found in separate) / len(separate)
        print(
            f"{given.ranks} ranks {together['rate']:,.0f} windows/s ({together['cpu_each'] * 1e6:.0f} µs of CPU each, "
            f"{together['steps']} steps in {together['seconds']:.1f} s), uncoupled {alone:,.0f} ({cpu * 1e6:.0f} µs, "
            f"{separate[0]['steps']} steps in {separate[0]['seconds']:.1f} s): {ratios[-1]:.3f}"
        )
    alone = sum(found["rate"] for separate, _ in turns for found in separate)
    together = sum(found["rate"] for _, found in turns)
    figures = {
        "bench": "ranks-forecaster", "ratio": round(together / alone, 4), "ratios": [round(r, 4) for r in ratios],
        "ranks": given.ranks, "batch": turns[0][1]["batch"], "threads": 1,
        "windows_per_second": round(together / len(turns)),
        "uncoupled_windows_per_second": round(alone / len(turns)),
        "steps": [found["steps"] for _, found in turns],
        "seconds": [round(found["seconds"], 1) for _, found in turns],
        "uncoupled_steps": [found["steps"] for separate, _ in turns for found in separate],
        "uncoupled_seconds": [round(found["seconds"], 1) for separate, _ in turns for found in separate],
        "cpu_microseconds": round(sum(found["cpu_each"] for _, found in turns) / len(turns) * 1e6),
        "uncoupled_cpu_microseconds": round(
            sum(found["cpu_each"] for separate, _ in turns for found in separate) / len(turns) / given.ranks * 1e6
        ),
        "cycle_ms": os.environ.get("HOROVOD_CYCLE_TIME"),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
