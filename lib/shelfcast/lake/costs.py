"""What the parts of a step cost: seconds, and what Spark's own status store says of their stages."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from threading import Lock
from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

_GROUP, _DESCRIPTION = "spark.jobGroup.id", "spark.job.description"
_PATIENCE_MS = 10_000  # for Spark's listeners to hear of the last task


@dataclass
class Cost:
    """Of one part of a step; bytes as Spark counts them, compressed ones where files are."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tasks: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    bytes_shuffled: int = 0
    bytes_spilled: int = 0

    def add(self, other: "Cost") -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Costs:
    """Parts by name. Parts may run side by side in threads, so that their seconds may add up to more than the step's.

    Args:
        title: of the step and its slice; Spark shows it with the part's name for every job.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: dict[str, Cost] = {}
        self._lock = Lock()

    @contextmanager
    def part(self, spark: SparkSession, name: str) -> Iterator[None]:
        """Spark jobs that this thread starts inside are described by the part's name, and counted for it."""
        context = spark.sparkContext
        before = [context.getLocalProperty(key) for key in (_GROUP, _DESCRIPTION)]
        group = f"{self.title}: {name} {uuid.uuid4().hex}"
        context.setLocalProperty(_GROUP, group)
        context.setLocalProperty(_DESCRIPTION, f"{self.title}: {name}")
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            for key, value in zip((_GROUP, _DESCRIPTION), before, strict=True):
                context.setLocalProperty(key, value)  # type: ignore[arg-type]  # None takes it away
            cost = _of_group(spark, group)
            cost.seconds = seconds
            with self._lock:
                self._parts.setdefault(name, Cost()).add(cost)

    def counts(self) -> dict[str, dict[str, Any]]:
        """As stored in ops/runs, in the order in which the parts ended."""
        return {
            name: {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(cost).items()}
            for name, cost in self._parts.items()
        }


def _of_group(spark: SparkSession, group: str) -> Cost:
    """What Spark still knows of a group's stages; nothing where its listeners cannot be asked."""
    cost = Cost()
    context: Any = spark.sparkContext._jsc.sc()  # noqa: SLF001  PySpark offers no status store
    try:
        context.listenerBus().waitUntilEmpty(_PATIENCE_MS)
        tracker, store = context.statusTracker(), context.statusStore()
        for job in tracker.getJobIdsForGroup(group):
            for stage in store.job(job).stageIds().mkString(",").split(","):
                if stage:
                    cost.add(_of_stage(store, int(stage)))
    except Py4JError:  # stopped, or more jobs than spark.ui.retainedJobs
        return cost
    return cost


def _of_stage(store: Any, number: int) -> Cost:
    try:
        data = store.lastStageAttempt(number)
    except Py4JError:  # skipped: its output was there already
        return Cost()
    return Cost(
        cpu_seconds=data.executorCpuTime() / 1e9,
        tasks=data.numCompleteTasks(),
        bytes_read=data.inputBytes(),
        bytes_written=data.outputBytes(),
        bytes_shuffled=data.shuffleWriteBytes(),
        bytes_spilled=data.diskBytesSpilled(),
    )
