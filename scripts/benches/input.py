"""Training with batches from gold/windows on Delta ÷ training with the same batches lying in memory as tensors.

One rank, one thread and one core, so that no idle core makes the batches. From Delta: reading the rank's share once,
then as many epochs as a training makes, each batch cut, scaled and standardised when its turn comes. From memory: those
epochs with every batch prepared beforehand. Epochs of both kinds are timed in turn; the reading is spread over the
epochs it serves.
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
sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "benches")]  # the rank finds both by it


def arguments() -> argparse.Namespace:
    import bench_windows

    return bench_windows.options(__doc__, series=40_000, turns=3).parse_args()


def epochs(payload: dict[str, Any], collective: Any) -> dict[str, Any]:
    """What the rank does. Returns seconds of reading, and of each epoch from Delta and from memory."""
    import numpy as np

    from shelfcast.settings import Forecaster
    from shelfcast.train.forecaster_fit import Fit, share_of
    from shelfcast.train.windows_share import WindowsShare

    class InMemory(Fit):
        """A fit whose batches can be kept."""

        kept_batches: list[Any] | None = None

        def _batches(self, generator: Any) -> Any:
            return super()._batches(generator) if self.kept_batches is None else iter(self.kept_batches)

        def keep(self, number: int) -> None:
            self.kept_batches = None
            self.kept_batches = list(self._batches(np.random.default_rng([self.seed, number, 0])))

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began = time.perf_counter()
    hyper = Forecaster.model_validate(payload["hyper"])
    reader = WindowsShare(payload["lake"], payload["version"], payload["chains"], collective)
    share = share_of(reader, hyper)
    reading = time.perf_counter() - began
    fit = InMemory(share, hyper, payload["seed"], share.horizon, collective)
    fit.epoch(0)
    delta, memory = [], []
    for turn in range(1, payload["turns"] + 1):
        fit.kept_batches = None
        delta.append(fit.epoch(turn)[1])
        fit.keep(turn)
        memory.append(fit.epoch(turn)[1])
    served = fit.epochs * (1 + hyper.seeds)  # the choice of their number, then every member
    return {
        "reading": reading, "delta": delta, "memory": memory, "epochs_served": served, "steps": fit.steps,
        "windows": len(share.windows), "batch": fit.batch,
    }  # fmt: skip


def main() -> None:
    import bench_windows

    from shelfcast.config import load
    from shelfcast.train.chains import TABLE, chains
    from shelfcast.train.launch import launch

    given = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        cores = len(os.sched_getaffinity(0))
        sets = [f"spark.master=local[{cores}]", "train.ranks=1", "train.threads=1", "train.launcher=inline", *given.set]
        settings = load(sets=sets, lake=str(folder / f"series-{given.series}")).settings
        bench_windows.write(settings, given.series, given.seed)
        step = bench_windows.step(None, settings)
        version = step.version(TABLE)
        payload = {
            "lake": settings.lake, "version": version, "chains": chains(step, version), "seed": given.seed,
            "hyper": settings.forecaster.model_dump(mode="json"), "turns": given.turns,
        }  # fmt: skip
        report(launch("input:epochs", payload, settings.train))


def report(found: dict[str, Any]) -> None:
    delta, memory = sum(found["delta"]) / len(found["delta"]), sum(found["memory"]) / len(found["memory"])
    whole = found["reading"] / found["epochs_served"] + delta
    print(
        f"{found['windows']:,} windows, {found['steps']} steps of {found['batch']} an epoch: from memory "
        f"{memory:.2f} s, from Delta {delta:.2f} s and {found['reading']:.2f} s of reading once in "
        f"{found['epochs_served']} epochs"
    )
    figures = {
        "bench": "input", "ratio": round(memory / whole, 4), "ratio_without_reading": round(memory / delta, 4),
        "ratio_one_epoch": round(memory / (delta + found["reading"]), 4), "windows": found["windows"],
        "steps": found["steps"], "batch": found["batch"], "epochs_served": found["epochs_served"],
        "reading_seconds": round(found["reading"], 3), "delta_seconds": [round(s, 3) for s in found["delta"]],
        "memory_seconds": [round(s, 3) for s in found["memory"]],
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
