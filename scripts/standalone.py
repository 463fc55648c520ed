"""A Spark cluster of separate processes on this machine's loopback: a master, workers, their executors."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import pyspark

from shelfcast.lake.java import delta_jars

SPARK_HOME = Path(pyspark.__file__).parent
LOOPBACK = "127.0.0.1"
_PATIENCE = 300.0  # seconds for a daemon to come up
_REGISTERED = "Successfully registered with master"
_DRIVERS_TOO = ("spark.driver.host", "spark.driver.bindAddress")


@dataclass
class Cluster:
    """Started on entering, gone on leaving with everything it has started.

    Attributes:
        folder: for logs, work folders and Spark's temporary files.
        workers: how many, of one core each.
        memory: what each may give to executors, as Spark writes it.
        java: options of the drivers' JVMs.
    """

    folder: Path
    workers: int = 2
    memory: str = "3g"
    java: str = ""
    url: str = ""
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start("master", "master.Master")
            self.url = self._await("master", r"Starting Spark master at (spark://\S+)")[1]
            for name in [self.start_worker() for _ in range(self.workers)]:
                self._await(name, _REGISTERED)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in reversed(self._daemons.values()):
            kill(daemon.pid)
            daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self.folder / "local", ignore_errors=True)
        for unpacked in self.folder.glob("worker-*/*/*/environment*"):  # gigabytes; the logs stay
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.unlink(missing_ok=True)

    def kill_worker(self, name: str) -> int:
        """kill -9 of a worker, its executors and their Python workers, as when its host dies.

        Returns:
            how many executors died with it.
        """
        executors = len(self.executors(name))
        kill(self._daemons[name].pid)
        self._daemons[name].wait()
        return executors

    def executors(self, name: str) -> list[psutil.Process]:
        """The JVMs that run a worker's tasks."""
        try:
            children = psutil.Process(self._daemons[name].pid).children()
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if "CoarseGrainedExecutorBackend" in " ".join(_command(child))]

    def submit(
        self, script: Path, options: Sequence[str], *, archive: Path | None, python: str, log: Path, memory: str = "1g"
    ) -> "subprocess.Popen[str]":
        """``spark-submit`` in client mode; its stdout can be read, Spark's own words go to ``log``.

        Args:
            archive: the packed environment that executors unpack and run; None: they run ``python``.
            python: for the driver.
            memory: of the driver, and of each executor's JVM.
        """
        conf = {
            **dict.fromkeys(_DRIVERS_TOO, LOOPBACK),
            "spark.ui.enabled": "false",
            # Its copy of the archive lies there as well.
            "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={self.folder / 'local'} {self.java}".strip(),
            "spark.pyspark.driver.python": python,
            "spark.pyspark.python": "./environment/bin/python" if archive else python,
        }
        # The driver has this process's environment, a checkout's packages included; executors have the archive's.
        env = {**os.environ, **self._environment()}
        if archive is None and "PYTHONPATH" in env:
            conf["spark.executorEnv.PYTHONPATH"] = env["PYTHONPATH"]
        command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", self.url]
        command += ["--driver-memory", memory, "--executor-memory", memory]
        command += ["--jars", ",".join(str(jar) for jar in delta_jars())]
        command += ["--archives", f"{archive}#environment"] if archive else []
        for key, value in conf.items():
            command += ["--conf", f"{key}={value}"]
        with log.open("ab") as said:
            return subprocess.Popen(
                [*command, str(script), *options], env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=said, text=True, cwd=self.folder,
            )  # fmt: skip

    def start_worker(self) -> str:
        """Start one more, as when a node is replaced; it registers with the master in its own time."""
        name = f"worker-{sum(name.startswith('worker') for name in self._daemons) + 1}"
        options = ("--cores", "1", "--memory", self.memory, "--work-dir", str(self.folder / name), self.url)
        self._start(name, "worker.Worker", *options)
        return name

    def _start(self, name: str, kind: str, *options: str) -> None:
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}"]
        command += ["--host", LOOPBACK, "--port", "0", "--webui-port", "0", *options]
        with self._log(name).open("wb") as said:
            self._daemons[name] = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder
            )

    def _await(self, name: str, ready: str) -> re.Match[str]:
        """Wait for a daemon's line in its log."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._daemons[name].poll() is None:
            found = re.search(ready, self._log(name).read_text(errors="replace"))
            if found is not None:
                return found
            time.sleep(0.2)
        raise RuntimeError(f"Spark's {name} did not come up; see {self._log(name)}")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _environment(self) -> Mapping[str, str]:
        """Of a daemon and so of its executors: nothing that leads to this checkout or its environment."""
        kept = {
            name: os.environ[name] for name in ("HOME", "JAVA_HOME", "LANG", "PATH", "TMPDIR") if name in os.environ
        }
        local = self.folder / "local"
        local.mkdir(exist_ok=True)
        return kept | {
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_LOCAL_DIRS": str(local),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # they do little but start
        }


def kill(pid: int) -> None:
    """kill -9 of a process and of all that it has started, whatever their groups."""
    try:
        first = psutil.Process(pid)
        first.suspend()  # it starts nothing more
        family = [*first.children(recursive=True), first]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family[:-1], timeout=10)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
