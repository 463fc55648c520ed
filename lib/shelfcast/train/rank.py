"""One rank: a process that the launcher starts. It joins the others, does its work, and rank 0 leaves the result.

The job comes in the environment variable ``SHELFCAST_JOB`` as JSON, so it reaches other hosts too.
"""

import importlib
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shelfcast.errors import ShelfcastError
from shelfcast.train.collective import Collective
from shelfcast.train.relay import tell

JOB = "SHELFCAST_JOB"
RESULT, PROGRESS, ERROR = "result.json", "progress.log", "error.{rank}.json"


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Join the other ranks and call the entry ``module:function`` with (payload, collective).

    Returns:
        the entry's result on rank 0, an empty one elsewhere.
    """
    collective = _join(job)
    try:
        module, function = job["entry"].split(":")
        result: dict[str, Any] = getattr(importlib.import_module(module), function)(job["payload"], collective)
    except Exception as error:
        _leave_error(job, collective.rank, error)
        raise
    return result if collective.first else {}


def _join(job: dict[str, Any]) -> Collective:
    threads = int(job["threads"])
    _limit_threads(threads)
    if not job["horovod"]:
        return Collective(threads=threads, say=_teller(job))
    import horovod.tensorflow as hvd
    import tensorflow as tf

    hvd.init()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        given = job.get("devices") or [hvd.local_rank()]  # Spark says which one a task may use
        tf.config.set_visible_devices(gpus[int(given[0]) % len(gpus)], "GPU")
    collective = Collective(hvd.rank(), hvd.size(), threads, hvd=hvd)
    if collective.first:
        collective.say = _teller(job)
    return collective


def _limit_threads(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _teller(job: dict[str, Any]) -> Callable[[str], None]:
    def say(line: str) -> None:
        if "relay" in job:
            tell(job["relay"], {"say": line.replace("\n", " ")})
            return
        Path(job["folder"]).mkdir(parents=True, exist_ok=True)
        with (Path(job["folder"]) / PROGRESS).open("a") as stream:
            stream.write(line.replace("\n", " ") + "\n")

    return say


def _leave_error(job: dict[str, Any], rank: int, error: Exception) -> None:
    """Leave what went wrong for the launcher; of a rank of horovodrun on another host it has the output only."""
    expected = isinstance(error, ShelfcastError)
    note = {"rank": rank, "type": type(error).__name__, "message": str(error), "expected": expected}
    note |= {"at": time.time(), "trace": traceback.format_exc()}
    if "relay" in job:
        tell(job["relay"], {"error": note})
        return
    Path(job["folder"]).mkdir(parents=True, exist_ok=True)
    (Path(job["folder"]) / ERROR.format(rank=rank)).write_text(json.dumps(note))


def _end_with(pid: int, host: str) -> None:
    """Never outlive the process that asked for this job, if it runs on this host."""
    if host != socket.gethostname():
        return

    def watch() -> None:
        while Path(f"/proc/{pid}").exists():
            time.sleep(2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Entry point of ``python -m shelfcast.train.rank``."""
    job = json.loads(os.environ[JOB])
    _end_with(job["driver"], job["host"])
    try:
        result = run_job(job)
    except ShelfcastError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if result:
        target = Path(job["folder"]) / RESULT
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(result))
        temporary.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
