"""Ranks as Spark tasks: every task starts a rank on its executor, with the Python that Spark's workers use there."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shelfcast.errors import TrainingError
from shelfcast.settings import Train
from shelfcast.train.rank import ERROR, run_job
from shelfcast.train.relay import Message, listening

_START_SECONDS = 300
# What reaches an executor of the driver's environment; paths and the rest are the executor's own.
_CARRIED = ("AWS_", "AZURE_", "GOOGLE_", "HOROVOD_", "NCCL_")


def run(
    job: dict[str, Any], train: Train, environment: dict[str, str], folder: Path, spark: Any, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a job on ``train.ranks`` tasks and return rank 0's result.

    Args:
        environment: variables that each rank is given besides those of its executor.
        folder: of this host, for Horovod's log and the notes of ranks that failed.

    Raises:
        TrainingError: if the cluster has too few task slots or the time limit was passed.
        Exception: Horovod's own, where a rank failed.
    """
    os.environ.setdefault(
        "TF_CPP_MIN_LOG_LEVEL", "2"
    )  # Horovod loads TensorFlow here too, which tells how it was built
    import horovod.spark

    context, conf = spark.sparkContext, spark.sparkContext.getConf()
    await_slots(spark, train.ranks, say)
    carried = {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
    host = conf.get("spark.driver.host", "localhost")
    late = threading.Event()

    def stop() -> None:
        late.set()
        context.cancelAllJobs()

    def heard(message: Message) -> None:
        if "say" in message:
            say(str(message["say"]))
        elif "error" in message:
            (folder / ERROR.format(rank=int(message["error"]["rank"]))).write_text(json.dumps(message["error"]))

    timer = threading.Timer(train.timeout_minutes * 60, stop)
    timer.daemon = True
    with listening(conf.get("spark.driver.bindAddress", host), host, heard) as address:
        timer.start()
        try:
            with (folder / "launcher.log").open("w") as log:
                results = horovod.spark.run(
                    _rank, args=({**job, "relay": address},), num_proc=train.ranks, env={**carried, **environment},
                    use_gloo=True, stdout=log, stderr=log, verbose=1, start_timeout=_START_SECONDS,
                    executable=context.pythonExec,
                )  # fmt: skip
        except Exception as error:
            if late.is_set():
                raise TrainingError(
                    f"training did not end within {train.timeout_minutes} minutes (train.timeout_minutes) and was "
                    "stopped; a restart resumes at its last checkpoint"
                ) from error
            raise
        finally:
            timer.cancel()
    return dict(results[0])


def _rank(job: dict[str, Any]) -> dict[str, Any]:
    """In a rank's process: the GPU is the one that Spark gave the task."""
    from horovod.spark.task import get_available_devices

    return run_job({**job, "devices": list(get_available_devices())})


def await_slots(spark: Any, ranks: int, say: Callable[[str], None]) -> None:
    """Wait until as many tasks as there are ranks could run at once: ranks wait for each other.

    A cluster that grows on demand grows when Horovod's tasks are waiting, so nothing is waited for here.
    """
    if spark.sparkContext.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        return
    deadline, told = time.monotonic() + _START_SECONDS, False
    while (slots := task_slots(spark)) is not None and slots < ranks:
        if time.monotonic() > deadline:
            raise TrainingError(
                f"training needs {ranks} task slots at once (train.ranks), but the cluster has {slots}: give it more "
                f"executors or cores, or set train.ranks to at most {max(slots, 1)}"
            )
        if not told:
            say(f"waiting for {ranks} task slots, of which {slots} are there")
            told = True
        time.sleep(1)


def task_slots(spark: Any) -> int | None:
    """How many tasks the executors that are there run at once; None where Spark does not tell."""
    try:
        scala = spark.sparkContext._jsc.sc()  # noqa: SLF001 - Python's API has no word for it
        return int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile()))
    except Exception:  # noqa: BLE001 - a platform that hides its JVM
        return None
