"""Brings jars into the environment, by Spark's own Maven resolution, and checks that they load.

Without an argument Delta's; with ``s3a`` what Spark reads and writes s3a:// with, 13 MB that no cluster needs, because
its platform brings its own. Only what pyspark has not already is kept. Maven's local repository is looked at first; the
environment variable DEFAULT_ARTIFACT_REPOSITORY names a mirror. Where that resolution fails and Maven is installed,
Maven does it with the machine's own settings. SHELFCAST_JARS names another folder than the environment's.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

FOLDER = Path(os.environ.get("SHELFCAST_JARS") or Path(sys.prefix) / "share" / "shelfcast" / "jars")
PYSPARKS = Path(pyspark.__file__).parent / "jars"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"  # the default version fails
POM = """<project>
  <modelVersion>4.0.0</modelVersion><groupId>shelfcast</groupId><artifactId>jars</artifactId><version>1</version>
  <dependencies>{}</dependencies>
</project>
"""
DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version><scope>runtime</scope>"
    "<exclusions>{}</exclusions></dependency>"
)
EXCLUSION = "<exclusion><groupId>{}</groupId><artifactId>{}</artifactId></exclusion>"


@dataclass(frozen=True)
class Jars:
    """Attributes:
    folder: where they go.
    packages: group:artifact:version.
    excluded: group:artifact, of what they depend on: the large ones among what pyspark has in newer versions, and
        what would shadow pyspark's own.
    """

    folder: Path
    packages: tuple[str, ...]
    excluded: tuple[str, ...]

    def there(self) -> bool:
        return all((self.folder / name).is_file() for name in self.named())

    def named(self) -> list[str]:
        """The packages' own jars."""
        return [f"{name}-{number}.jar" for _, name, number in self.split()]

    def split(self) -> list[list[str]]:
        return [package.split(":") for package in self.packages]


def delta() -> Jars:
    artifact = f"delta-spark_{'.'.join(pyspark.__version__.split('.')[:2])}_2.13"  # 2.13 is Scala's version
    packages = (f"io.delta:{artifact}:{version('delta-spark')}",)
    return Jars(
        FOLDER, packages, ("org.apache.hadoop:*", "org.apache.parquet:*", "commons-logging:*", "org.roaringbitmap:*")
    )


def s3a() -> Jars:
    hadoop = next(PYSPARKS.glob("hadoop-client-api-*.jar")).stem.removeprefix("hadoop-client-api-")
    # hadoop-aws asks for the whole SDK in one jar of 686 MB; these are the parts it uses, in the version it asks for.
    sdk = "2.35.4"
    packages = (
        f"org.apache.hadoop:hadoop-aws:{hadoop}",
        f"software.amazon.awssdk:s3-transfer-manager:{sdk}",
        f"software.amazon.awssdk:sts:{sdk}",
    )
    excluded = ("software.amazon.awssdk:bundle", "io.netty:*", "org.slf4j:*", "commons-logging:*", "commons-codec:*")
    return Jars(FOLDER / "s3a", packages, (*excluded, "org.apache.httpcomponents:*"))


KINDS = {"delta": delta, "s3a": s3a}


def main(kind: str) -> int:
    wanted = KINDS[kind]()
    if wanted.there():
        return 0
    print(f"setup: fetching jars ({kind})", file=sys.stderr)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.folder.parent) as work:
        if not _step("resolve", kind, work) and not _by_maven(wanted, Path(work)):
            return 1
        fetched = Path(work) / "jars"
        _keep_missing(Path(work) / "resolved", fetched)
        if not _step("check", kind, work):
            return 1
        for old in wanted.folder.glob("*.jar"):
            old.unlink()
        for jar in sorted(
            fetched.glob("*.jar"), key=lambda jar: jar.name in wanted.named()
        ):  # these tell that all are there
            jar.rename(wanted.folder / jar.name)
    return 0


def _step(name: str, kind: str, work: str) -> bool:
    """Run one of the steps below in a process, and so a JVM, of its own; show what it said only if it fails."""
    command = [sys.executable, __file__, kind, name, work]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(*(done.stdout + done.stderr).splitlines()[-20:], sep="\n", file=sys.stderr)
    return done.returncode == 0


def _session(work: str, settings: dict[str, str]) -> SparkSession:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    own = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.warehouse.dir": f"{work}/warehouse",
    }
    return SparkSession.builder.master("local[1]").config(map=own | settings).getOrCreate()


def resolve(kind: str, work: str) -> None:
    wanted = KINDS[kind]()
    settings = {
        "spark.jars.ivy": f"{work}/ivy",
        "spark.jars.packages": ",".join(wanted.packages),
        "spark.jars.excludes": ",".join(wanted.excluded),
    }
    _session(work, settings).stop()
    resolved = Path(work, "resolved")
    resolved.mkdir()
    for jar in Path(work, "ivy", "jars").glob("*.jar"):
        jar.rename(resolved / jar.name.partition("_")[2])  # Ivy puts the organisation before the name


def check(kind: str, work: str) -> None:
    jars = ",".join(str(jar) for jar in Path(work, "jars").glob("*.jar"))
    if kind == "delta":
        _check_delta(work, jars)
    else:
        _check_s3a(work, jars)


def _check_delta(work: str, jars: str) -> None:
    settings = {
        "spark.jars": jars,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    spark = _session(work, settings)
    spark.range(3).write.format("delta").save(f"{work}/table")
    if spark.read.format("delta").load(f"{work}/table").count() != 3:
        raise SystemExit("a Delta table of three rows was not read back as written")


def _check_s3a(work: str, jars: str) -> None:
    """A client is made; nothing is asked of any store."""
    settings = {
        "spark.jars": jars,
        "spark.hadoop.fs.s3a.access.key": "none",
        "spark.hadoop.fs.s3a.secret.key": "none",
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9",
    }
    spark = _session(work, settings)
    jvm, hadoop = spark._jvm, spark._jsc.hadoopConfiguration()  # noqa: SLF001 - pyspark has no other way
    jvm.org.apache.hadoop.fs.FileSystem.newInstance(jvm.java.net.URI("s3a://none/"), hadoop).close()


def _by_maven(wanted: Jars, work: Path) -> bool:
    if shutil.which("mvn") is None:
        return False
    print("setup: Spark's own resolution failed; trying Maven", file=sys.stderr)
    exclusions = "".join(EXCLUSION.format(*name.split(":")) for name in wanted.excluded)
    (work / "pom.xml").write_text(POM.format("".join(DEPENDENCY.format(*p, exclusions) for p in wanted.split())))
    command = ["mvn", "-q", "-B", COPY, f"-DoutputDirectory={work / 'resolved'}"]
    return subprocess.run(command, cwd=work, check=False).returncode == 0


def _keep_missing(resolved: Path, kept: Path) -> None:
    """Copy the jars (artifact-version.jar) whose artifact pyspark has in no version."""
    own = {_artifact(jar.name) for jar in PYSPARKS.glob("*.jar")}
    kept.mkdir()
    for jar in resolved.glob("*.jar"):
        if _artifact(jar.name) not in own:
            shutil.copy2(jar, kept)


def _artifact(file_name: str) -> str:
    return re.split(r"-\d", file_name, maxsplit=1)[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Brings jars into the environment.")
    parser.add_argument("kind", nargs="?", choices=KINDS, default="delta")
    # a step of the above in a process of its own, and the folder it works in
    parser.add_argument("step", nargs="?", choices=["resolve", "check"], help=argparse.SUPPRESS)
    parser.add_argument("work", nargs="?", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if given.step is None:
        raise SystemExit(main(given.kind))
    {"resolve": resolve, "check": check}[given.step](given.kind, given.work)
