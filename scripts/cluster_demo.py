"""The main job on a standalone cluster on loopback gives what the embedded run gives, also when workers are killed.

A master and two workers are processes of their own, with nothing of this checkout's environment: executors unpack the
packed one. Three runs of the main job on one log: embedded, on the cluster, and on the cluster with one worker killed
during cleaning and one during scoring. Tables before training must be equal row by row; each cluster's scores must be
what the embedded session computes from the same lake with the same model; trainings must measure alike.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lakes_compared
import pack_environment
import yaml
from lakes_compared import Compared
from standalone import Cluster, kill

ROOT = Path(__file__).resolve().parents[1]
WEEKLY, SCORE = ROOT / "jobs" / "weekly.py", ROOT / "jobs" / "score.py"
# Small enough for minutes; ranks, packages and steps are those of any log.
SMALL = {
    "windows": {"context": 30, "horizon": 4},
    "forecaster": {"units": 8, "layers": 1, "dense": 16, "epochs": 2, "least_steps": 40, "seeds": 1},
    "recommender": {
        "members": 1, "dim": 16, "epochs": 2, "max_length": 30, "negatives": 64, "label_windows": 2,
        "neighbours": 20, "peers": 20, "predictors": 20, "candidates": 30,
    },
    "evaluate": {"baselines": ["naive", "moving_median_8"]},
    "spark": {"shuffle_partitions": 4},
}  # fmt: skip
# conf/cluster.yaml cut down to two executors of one core.
LOOPBACK = {
    "spark": {
        "shuffle_partitions": 4,
        "conf": {
            "spark.executor.instances": "2", "spark.executor.cores": "1", "spark.executor.memory": "1g",
            "spark.buffer.pageSize": "4m", "spark.databricks.delta.snapshotPartitions": "2",
        },
    },
    "train": {"launcher": "spark", "ranks": 2, "threads": 1, "timeout_minutes": 60},
}  # fmt: skip
METRICS_APART = 0.05


@dataclass(frozen=True)
class Fault:
    """A worker dies ``after`` seconds from a line of the job; another one takes its place."""

    line: str
    worker: str
    after: float


FAULTS = (
    Fault(r"ingest: bronze/", "worker-1", 3),
    Fault(r"score forecasts .*: started", "worker-2", 4),
)


@dataclass
class Demo:
    """Attributes:
    folder: for lakes, logs and the archive.
    options: of every run, for shelfcast: the log's configuration, as_of.
    """

    folder: Path
    options: list[str]
    archive: Path

    def embedded(self, name: str, *command: str) -> None:
        """A run in one process with executors of its own threads."""
        started = time.monotonic()
        given = [sys.executable, *command, *self.options, "--lake", str(self.folder / name)]
        with (self.folder / f"{name}.log").open("ab") as said:
            done = subprocess.run(given, stdout=said, stderr=said, check=False)
        if done.returncode:
            raise SystemExit(f"cluster-demo: the embedded run failed; see {self.folder / name}.log")
        say(f"{name}: done in {time.monotonic() - started:,.0f} s")

    def on_cluster(self, name: str, faults: tuple[Fault, ...] = ()) -> None:
        """The main job through spark-submit, with workers dying on the way."""
        started = time.monotonic()
        options = ["--conf", str(ROOT / "conf" / "cluster.yaml"), *self.options]
        options += ["--conf", str(self.folder / "loopback.yaml"), "--lake", str(self.folder / name)]
        with Cluster(self.folder / f"{name}-cluster") as cluster:
            log = self.folder / f"{name}.log"
            job = cluster.submit(WEEKLY, options, archive=self.archive, python=sys.executable, log=log)
            waiting, died = list(faults), []
            try:
                for line in job.stdout or ():
                    print(f"  {line}", end="", flush=True)
                    if waiting and re.search(waiting[0].line, line):
                        given = (cluster, waiting.pop(0), died)
                        threading.Thread(target=strike, args=given, daemon=True).start()
                code = job.wait()
            finally:
                kill(job.pid)
        if code or len(died) < len(faults) or 0 in died:
            raise SystemExit(f"cluster-demo: {name} failed, exit code {code}, executors killed: {died}; see {log}")
        say(f"{name}: done in {time.monotonic() - started:,.0f} s")

    def rescored(self, name: str) -> str:
        """A copy of a lake, scored again by the embedded session with the model that it holds."""
        copy = f"{name}-rescored"
        shutil.copytree(self.folder / name, self.folder / copy)
        self.embedded(copy, str(SCORE), "--force")
        return copy

    def compared(self, name: str) -> Iterator[Compared]:
        embedded, lake = (str(self.folder / one) for one in ("embedded", name))
        yield from lakes_compared.exactly(embedded, lake)
        for one in lakes_compared.scores(lake, str(self.folder / self.rescored(name))):
            yield Compared(f"{one.what}, same model", one.rows, one.differs)
        yield from lakes_compared.metrics(embedded, lake, METRICS_APART)


def strike(cluster: Cluster, fault: Fault, died: list[int]) -> None:
    """Kill a worker; how many executors it took with it is added to ``died``."""
    time.sleep(fault.after)
    died.append(cluster.kill_worker(fault.worker))
    say(f"killed {fault.worker} with {died[-1]} executor(s); {cluster.start_worker()} takes its place")


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} cluster-demo: {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/cluster-demo", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=10_000, help="of a generated log")
    parser.add_argument("--conf", action="append", default=[], help="YAML of your own log instead; repeatable")
    parser.add_argument("--as-of", help="of your own log")
    parser.add_argument("--folder", type=Path, help="keeps lakes and logs there; else a temporary one is removed")
    parser.add_argument("--archive", type=Path, help="an archive that scripts/pack has written")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what was started, as Ctrl-C does
    with tempfile.TemporaryDirectory(prefix="shelfcast-cluster-") as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        archive = given.archive or folder / "environment.tar.gz"
        if not archive.exists():
            say("packing the environment")
            pack_environment.pack(archive, level=0)
        say(f"the environment has {archive.stat().st_size / 1e6:,.0f} MB, not compressed")
        return run(folder, archive, given)


def run(folder: Path, archive: Path, given: argparse.Namespace) -> int:
    options = [part for file in given.conf for part in ("--conf", str(Path(file).resolve()))]
    if given.as_of:
        options += ["--as-of", given.as_of]
    if not given.conf:
        options = _generated(folder, given.events)
    (folder / "identity.key").write_text("of all runs: ids are hashed alike\n")
    options += ["--set", f"identity_key=file:{folder / 'identity.key'}"]
    (folder / "loopback.yaml").write_text(yaml.safe_dump(LOOPBACK))
    demo = Demo(folder, options, archive)
    say("the main job, embedded")
    demo.embedded("embedded", str(WEEKLY))
    differing = 0
    for name, faults in (("cluster", ()), ("cluster-faults", FAULTS)):
        say(f"the main job on a master and two workers{', two of which are killed' if faults else ''}")
        demo.on_cluster(name, faults)
        print(f"\n{name} against embedded")
        for one in demo.compared(name):
            differing += bool(one.differs)
            print(f"  {one.what:<50} {one.rows:>12,}  {'DIFFERS: ' + one.differs if one.differs else 'the same'}")
        print(flush=True)
    say("everything is the same" if not differing else f"{differing} comparisons differ")
    return 1 if differing else 0


def _generated(folder: Path, events: int) -> list[str]:
    """A small log whose last four weeks are kept for evaluation."""
    weeks = ("--weeks", "44", "--users", str(max(events // 50, 20)), "--products", str(max(events // 200, 20)))
    shelfcast = Path(sys.executable).with_name("shelfcast")
    command = [str(shelfcast), "generate", "--events", str(events), *weeks, "--stores", "3"]
    subprocess.run([*command, "--out", str(folder / "log")], check=True, stdout=subprocess.DEVNULL)
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    sources = (folder / "log" / "source.yaml", folder / "small.yaml")
    return [*(part for file in sources for part in ("--conf", str(file))), "--as-of", "2024-10-06"]


if __name__ == "__main__":
    raise SystemExit(main())
