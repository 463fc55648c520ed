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
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "benches")]  # the ranks find both by it

import bench_ranks  # noqa: E402

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
    bench_ranks.meet(payload["meeting"], place, of)
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
        turns = [bench_ranks.turn("ranks-forecaster:steps", payload, settings.train) for _ in range(given.turns)]
    print(json.dumps({"bench": "ranks-forecaster", **bench_ranks.figures(turns, "windows", given.ranks)}))


def training(step: Any, given: argparse.Namespace) -> dict[str, Any]:
    from shelfcast.train.chains import TABLE, chains

    version = step.version(TABLE)
    return {
        "lake": step.lake.uri, "version": version, "chains": chains(step, version), "seed": given.seed,
        "hyper": step.settings.forecaster.model_dump(mode="json"), "seconds": given.seconds, "share": None,
    }  # fmt: skip


if __name__ == "__main__":
    main()
