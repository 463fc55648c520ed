"""Starts the ranks of a training run and brings back rank 0's result."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shelfcast.errors import ShelfcastError, TrainingError
from shelfcast.settings import Train
from shelfcast.train import spark_ranks
from shelfcast.train.rank import JOB, PROGRESS, RESULT

_CYCLE_MS = "5"  # Horovod's background thread shares the rank's core: more often costs more than it brings
_LAST_LINES = 20


def launch(
    entry: str,
    payload: dict[str, Any],
    train: Train,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
    spark: Any = None,
) -> dict[str, Any]:
    """Run ``entry`` on every rank and return what rank 0 returned.

    Args:
        entry: ``module:function``, called with (payload, Collective) on every rank; rank 0 returns a JSON-able dict.
        payload: JSON-able.
        train: launcher, number of ranks, threads per rank, hosts, time limit.
        folder: where ranks leave logs and result; a temporary one if None. Those of ``horovodrun`` on other hosts must
            see it only for their logs, as long as rank 0 runs here; Spark's need not see it.
        say: receives rank 0's progress lines.
        spark: a session, for the launcher ``spark`` only.

    Raises:
        TrainingError: with the failing rank's own message or last lines, or if the time limit was passed.
    """
    kept = folder is not None
    where = folder if folder is not None else Path(tempfile.mkdtemp(prefix="shelfcast-ranks-"))
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    job = {
        "entry": entry, "payload": payload, "folder": str(where), "threads": train.threads,
        "horovod": train.ranks > 1, "driver": os.getpid(), "host": socket.gethostname(),
    }  # fmt: skip
    if train.launcher == "inline":
        job["horovod"] = False
    with _relayed(where / PROGRESS, say):
        if train.launcher == "spark":
            if spark is None:
                raise TrainingError("the launcher spark needs a running Spark session; use horovodrun or inline")
            result = _on_spark(job, train, where, spark, say)
        else:
            result = _as_processes(job, train, where)
    if not kept:
        shutil.rmtree(where, ignore_errors=True)
    return result


def _environment(job: dict[str, Any], train: Train) -> dict[str, str]:
    return {
        **os.environ,
        **_thread_limits(train),
        JOB: json.dumps(job),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _thread_limits(train: Train) -> dict[str, str]:
    """What every rank's libraries are told, wherever it runs."""
    threads = str(train.threads)
    return {
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERAS_BACKEND": "tensorflow",
        "HOROVOD_CYCLE_TIME": os.environ.get("HOROVOD_CYCLE_TIME", _CYCLE_MS),
    }


def _command(train: Train, folder: Path) -> list[str]:
    rank = [sys.executable, "-m", "shelfcast.train.rank"]
    if train.launcher == "inline" or train.ranks == 1:
        return rank
    hosts = train.hosts or f"localhost:{train.ranks}"
    launcher = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", str(train.ranks), "-H", hosts]
    return [*launcher, "--start-timeout", "120", "--output-filename", str(folder / "ranks"), *rank]


def _as_processes(job: dict[str, Any], train: Train, folder: Path) -> dict[str, Any]:
    limit = train.timeout_minutes * 60
    with (folder / "launcher.log").open("wb") as log:
        process = subprocess.Popen(
            _command(train, folder), env=_environment(job, train), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise TrainingError(
                f"training did not end within {train.timeout_minutes} minutes (train.timeout_minutes) and was stopped; "
                f"a restart resumes at its last checkpoint. {_last_words(folder)}"
            ) from None
        finally:
            _stop(process)
    result = folder / RESULT
    if code != 0 or not result.exists():
        raise TrainingError(f"training failed (exit code {code}): {_last_words(folder)}")
    return dict(json.loads(result.read_text()))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the launcher and its ranks, if they still run."""
    for how, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        if process.poll() is not None:
            return
        os.killpg(process.pid, how)
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue


def _on_spark(
    job: dict[str, Any], train: Train, folder: Path, spark: Any, say: Callable[[str], None]
) -> dict[str, Any]:
    """Ranks as Spark tasks. They share no folder with this process, so what they say comes over the network."""
    try:
        return spark_ranks.run({**job, "horovod": True}, train, _thread_limits(train), folder, spark, say)
    except ShelfcastError:
        raise
    except Exception as error:  # Horovod raises bare exceptions of its own
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(f"training failed on Spark: {said[0]}. {_last_words(folder)}") from error


def _last_words(folder: Path) -> str:
    """What the rank that failed first said, else the last lines of its output."""
    notes = [json.loads(path.read_text()) for path in folder.glob("error.*.json")]
    if notes:
        first = min(notes, key=lambda note: (not note["expected"], note["at"]))
        if first["expected"]:
            return str(first["message"])
        return f"rank {first['rank']}: {first['type']}: {first['message']}\nThe ranks' logs are in {folder}"
    logs = sorted(folder.glob("ranks/rank.*/std*"), key=lambda path: (path.name != "stderr", path)) or []
    for path in [*logs, folder / "launcher.log"]:
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        if lines:
            return f"last lines of {path}:\n" + "\n".join(lines[-_LAST_LINES:])
    return f"the ranks left no word in {folder}"


@contextmanager
def _relayed(progress: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hand rank 0's progress lines on as they come."""
    over = threading.Event()

    def follow() -> None:
        seen = 0
        while True:
            last = over.is_set()
            if progress.exists():
                with progress.open() as stream:
                    stream.seek(seen)
                    for line in iter(stream.readline, ""):
                        if not line.endswith("\n"):
                            break
                        say(line.rstrip("\n"))
                        seen = stream.tell()
            if last:
                return
            time.sleep(0.3)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)
