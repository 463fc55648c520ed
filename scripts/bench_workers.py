"""Spark's Python workers under a bench: sessions that end with them, their memory and their CPU time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from shelfcast.lake import session


@contextmanager
def spark_of(settings: Any) -> Iterator[Any]:
    """A session, ended with its Python workers."""
    spark = session.build(settings, "bench")
    try:
        yield spark
    finally:
        spark.stop()


class Watch:
    """Largest resident memory of each Python worker below this process, and CPU seconds of all its descendants."""

    def __init__(self) -> None:
        self.peaks: dict[int, float] = {}
        self.cpu: dict[int, float] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Watch":
        self.before = 0.0
        self._look()
        self.before = sum(self.cpu.values())
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self._look()

    def _follow(self) -> None:
        while not self.over.wait(0.5):
            self._look()

    def _look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                times = process.cpu_times()
                self.cpu[process.pid] = times.user + times.system
                status = Path(f"/proc/{process.pid}/status").read_text()
                if "java" not in process.name():
                    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
                    self.peaks[process.pid] = int(peak) / 1024
            except (psutil.Error, OSError, StopIteration):
                continue

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values()) - self.before

    @property
    def peak_mb(self) -> float:
        return max(self.peaks.values(), default=0.0)
