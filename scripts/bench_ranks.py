"""Two ways to run the steps of a training side by side: as coupled ranks, and as processes that know nothing of each
other. Shared by the benches of ranks.

The steps are a function ``module:function`` as the launcher calls it. Its payload holds ``share``, None for a rank or
(place, processes) for an uncoupled process, and ``meeting``, a folder for ``meet``; it returns rate, cpu_each, steps
and seconds.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shelfcast.train.launch import launch

Turn = tuple[list[dict[str, Any]], dict[str, Any]]
"""What the uncoupled processes found, and what the ranks found after them."""


def turn(entry: str, payload: dict[str, Any], train: Any) -> Turn:
    """One after the other: uncoupled processes, then as many ranks."""
    return apart(entry, payload, train), joined(entry, payload, train)


def joined(entry: str, payload: dict[str, Any], train: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as meeting:
        job = payload | {"meeting": meeting}
        return launch(entry, job, train.model_copy(update={"launcher": "horovodrun"}))


def apart(entry: str, payload: dict[str, Any], train: Any) -> list[dict[str, Any]]:
    alone = train.model_copy(update={"launcher": "inline", "ranks": 1})
    with tempfile.TemporaryDirectory() as meeting, ThreadPoolExecutor(train.ranks) as pool:
        jobs = [payload | {"meeting": meeting, "share": (place, train.ranks)} for place in range(train.ranks)]
        return list(pool.map(lambda job: launch(entry, job, alone), jobs))


def meet(folder: str, place: int, of: int) -> None:
    """Wait until all ``of`` processes of this folder are here."""
    (Path(folder) / str(place)).touch()
    while len(list(Path(folder).iterdir())) < of:
        time.sleep(0.01)


def figures(turns: Sequence[Turn], what: str, ranks: int) -> dict[str, Any]:
    """The ratio of the rates over all turns with every figure behind it; prints a line a turn.

    Args:
        what: is counted, in the plural.
    """
    ratios = []
    for separate, together in turns:
        alone = sum(found["rate"] for found in separate)
        ratios.append(together["rate"] / alone)
        cpu = sum(found["cpu_each"] for found in separate) / len(separate)
        print(
            f"{ranks} ranks {together['rate']:,.0f} {what}/s ({together['cpu_each'] * 1e6:.1f} µs of CPU each, "
            f"{together['steps']} steps in {together['seconds']:.1f} s), uncoupled {alone:,.0f} ({cpu * 1e6:.1f} µs, "
            f"{separate[0]['steps']} steps in {separate[0]['seconds']:.1f} s): {ratios[-1]:.3f}"
        )
    alone = sum(found["rate"] for separate, _ in turns for found in separate)
    together = sum(found["rate"] for _, found in turns)
    return {
        "ratio": round(together / alone, 4), "ratios": [round(r, 4) for r in ratios], "ranks": ranks,
        "batch": turns[0][1]["batch"], "threads": 1, f"{what}_per_second": round(together / len(turns)),
        f"uncoupled_{what}_per_second": round(alone / len(turns)),
        "steps": [found["steps"] for _, found in turns],
        "seconds": [round(found["seconds"], 1) for _, found in turns],
        "uncoupled_steps": [found["steps"] for separate, _ in turns for found in separate],
        "uncoupled_seconds": [round(found["seconds"], 1) for separate, _ in turns for found in separate],
        "cpu_microseconds": round(sum(found["cpu_each"] for _, found in turns) / len(turns) * 1e6, 1),
        "uncoupled_cpu_microseconds": round(
            sum(found["cpu_each"] for separate, _ in turns for found in separate) / len(turns) / ranks * 1e6, 1
        ),
        "cycle_ms": os.environ.get("HOROVOD_CYCLE_TIME"),
    }  # fmt: skip
