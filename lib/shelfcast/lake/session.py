"""Builds the Spark session with Delta. Under spark-submit the platform's own settings and jars win."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from shelfcast.errors import EnvironmentProblem
from shelfcast.lake.java import delta_jars, require_java, s3a_jars
from shelfcast.lake.paths import is_local, is_s3, normalise, spark_options
from shelfcast.settings import Settings

_GATEWAY = "PYSPARK_GATEWAY_PORT"  # spark-submit has started Spark's JVM, here or on a cluster's node
_ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Expressions of a source never abort a run: what cannot be parsed becomes null and goes to quarantine.
    "spark.sql.ansi.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    # The plain reader and deltalake both read what has no deletion vectors.
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_LOCAL = {
    # Fifty tasks for a ten-row log otherwise.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "localhost",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.files.maxPartitionBytes": "64m",
    # Each small table that is sent to a join takes a page, and a page is 64 MB where one process does everything.
    "spark.buffer.pageSize": "4m",
    # The loop that Spark compiles for a record of many columns is longer than what HotSpot optimises by default. And
    # nobody waits for an answer here: a collector that stops the program takes less of few cores than one beside it.
    "spark.driver.extraJavaOptions": "-XX:-DontCompileHugeMethods -XX:+UseParallelGC",
}


def build(settings: Settings, name: str = "shelfcast") -> SparkSession:
    """A session as configured; the running one where the platform has started it, or what spark-submit began.

    Raises:
        EnvironmentProblem: if Java, Delta's jars or those of the lake's object store are missing.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    options = dict(_ALWAYS)
    submitted = _GATEWAY in os.environ
    if submitted:
        options["spark.sql.extensions"] = _extensions()
    elif SparkSession.getActiveSession() is None:
        require_java()
        options |= _own(settings)
    options["spark.sql.shuffle.partitions"] = str(settings.spark.shuffle_partitions)
    if settings.spark.event_log is not None:
        options |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": _made(settings.spark.event_log)}
    builder = SparkSession.builder.appName(name)
    for key, value in (options | settings.spark.conf).items():
        builder = builder.config(key, value)
    with _output_to(_log_file(settings.lake)):
        session = builder.getOrCreate()  # of a running session, only what can change is changed
    session.sparkContext.setLogLevel("ERROR")
    if submitted:
        _require_delta(session)
    for kind in ("SQL", "DataFrame"):  # they write an exception to stderr, stack and all, when it is made
        PySparkLogger.getLogger(f"{kind}QueryContextLogger").setLevel(logging.CRITICAL)
    return session


def _extensions() -> str:
    """Delta's extension behind those that the platform has already."""
    SparkContext._ensure_initialized()  # noqa: SLF001 - without it the platform's settings are not seen
    before = (SparkConf().get("spark.sql.extensions") or "").split(",")
    return ",".join(dict.fromkeys([*filter(None, before), _ALWAYS["spark.sql.extensions"]]))


def _require_delta(session: SparkSession) -> None:
    jvm = session.sparkContext._jvm  # noqa: SLF001 - Python's API does not say what is on the class path
    if jvm is not None and not jvm.org.apache.spark.util.Utils.classIsLoadable(_ALWAYS["spark.sql.extensions"]):
        raise EnvironmentProblem(
            "Delta's jars are missing on this platform: give spark-submit --packages "
            "io.delta:delta-spark_4.2_2.13:4.4.0, or --jars with the files in .venv/share/shelfcast/jars"
        )


def _made(folder: str) -> str:
    """A folder's URI; a local one is made, because Spark refuses a missing one."""
    if not is_local(folder):
        return folder
    path = Path(normalise(folder))
    path.mkdir(parents=True, exist_ok=True)
    return path.as_uri()


def _log_file(lake: str) -> Path:
    """Where the JVM and its Python workers write what only a search for a fault needs."""
    folder = Path(normalise(lake)) / "logs" if is_local(lake) else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "spark.log"


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Processes started inside write stdout and stderr to a file; this one's own are as before afterwards.

    stdout too: it is the command's document, and the JVM writes its own warnings there.
    """
    streams = {1: sys.stdout, 2: sys.stderr}
    for stream in streams.values():
        stream.flush()
    kept = {number: os.dup(number) for number in streams}
    try:
        with path.open("ab") as log:
            for number in streams:
                os.dup2(log.fileno(), number)
        yield
    finally:
        for number, stream in streams.items():
            stream.flush()
            os.dup2(kept[number], number)
            os.close(kept[number])


def _own(settings: Settings) -> dict[str, str]:
    """Settings of a session that this process starts itself."""
    jars = [str(path) for path in delta_jars()]
    if not jars:
        raise EnvironmentProblem("Delta's jars are missing: run scripts/setup, or name their folder in SHELFCAST_JARS")
    of_s3a = [str(path) for path in s3a_jars()]
    places = [settings.lake, *(source.root or "" for source in settings.sources.values())]
    remote = [place for place in places if is_s3(place)]
    if remote and not of_s3a and not {"spark.jars", "spark.jars.packages"} & settings.spark.conf.keys():
        raise EnvironmentProblem(
            f"{remote[0]} needs jars that are not in this environment: run {sys.executable} scripts/fetch_jars.py s3a, "
            "or name yours in spark.conf, e.g. as spark.jars.packages"
        )
    options = {"spark.driver.memory": settings.spark.driver_memory, "spark.jars": ",".join(jars + of_s3a)}
    if settings.spark.master.startswith("local"):
        options |= _LOCAL
    options |= spark_options()
    return options | {"spark.master": settings.spark.master}
