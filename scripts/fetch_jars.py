"""Brings Delta's jars into the environment, by Spark's own Maven resolution, and checks that they load.

Only what pyspark has not already is kept. Maven's local repository is looked at first; the environment variable
DEFAULT_ARTIFACT_REPOSITORY names a mirror. Where that resolution fails and Maven is installed, Maven does it with the
machine's own settings.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

FOLDER = Path(sys.prefix) / "share" / "shelfcast" / "jars"
# The large ones among what pyspark has in newer versions, and what would shadow pyspark's own.
EXCLUDED = ("org.apache.hadoop", "org.apache.parquet", "commons-logging", "org.roaringbitmap")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"  # the default version fails
POM = """<project>
  <modelVersion>4.0.0</modelVersion><groupId>shelfcast</groupId><artifactId>jars</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version><scope>runtime</scope>
  </dependency></dependencies>
</project>
"""


def main() -> int:
    if any(FOLDER.glob(f"delta-spark_*-{version('delta-spark')}.jar")):
        return 0
    print("setup: fetching Delta's jars", file=sys.stderr)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as work:
        if not _step("resolve", work) and not _by_maven(Path(work)):
            return 1
        fetched = Path(work) / "jars"
        _keep_missing(Path(work) / "resolved", fetched)
        if not _step("check", work):
            return 1
        shutil.rmtree(FOLDER, ignore_errors=True)
        fetched.rename(FOLDER)
    return 0


def _step(name: str, work: str) -> bool:
    """Run one of the steps below in a process, and so a JVM, of its own; show what it said only if it fails."""
    done = subprocess.run([sys.executable, __file__, name, work], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(*(done.stdout + done.stderr).splitlines()[-20:], sep="\n", file=sys.stderr)
    return done.returncode == 0


def _builder(work: str) -> SparkSession.Builder:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.warehouse.dir": f"{work}/warehouse",
    }
    return SparkSession.builder.master("local[1]").config(map=settings)


def resolve(work: str) -> None:
    excluded = ",".join(f"{group}:*" for group in EXCLUDED)
    settings = {"spark.jars.ivy": f"{work}/ivy", "spark.jars.excludes": excluded}
    configure_spark_with_delta_pip(_builder(work).config(map=settings)).getOrCreate().stop()
    resolved = Path(work, "resolved")
    resolved.mkdir()
    for jar in Path(work, "ivy", "jars").glob("*.jar"):
        jar.rename(resolved / jar.name.partition("_")[2])  # Ivy puts the organisation before the name


def check(work: str) -> None:
    settings = {
        "spark.jars": ",".join(str(jar) for jar in Path(work, "jars").glob("*.jar")),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    spark = _builder(work).config(map=settings).getOrCreate()
    spark.range(3).write.format("delta").save(f"{work}/table")
    if spark.read.format("delta").load(f"{work}/table").count() != 3:
        raise SystemExit("a Delta table of three rows was not read back as written")


def _by_maven(work: Path) -> bool:
    if shutil.which("mvn") is None:
        return False
    print("setup: Spark's own resolution failed; trying Maven", file=sys.stderr)
    artifact = f"delta-spark_{'.'.join(pyspark.__version__.split('.')[:2])}_2.13"  # 2.13 is Scala's version
    (work / "pom.xml").write_text(POM.format("io.delta", artifact, version("delta-spark")))
    options = (f"-DoutputDirectory={work / 'resolved'}", f"-DexcludeGroupIds={','.join(EXCLUDED)}")
    return subprocess.run(["mvn", "-q", "-B", COPY, *options], cwd=work, check=False).returncode == 0


def _keep_missing(resolved: Path, kept: Path) -> None:
    """Copy the jars (artifact-version.jar) whose artifact pyspark has in no version."""
    own = {_artifact(jar.name) for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
    kept.mkdir()
    for jar in resolved.glob("*.jar"):
        if _artifact(jar.name) not in own:
            shutil.copy2(jar, kept)


def _artifact(file_name: str) -> str:
    return re.split(r"-\d", file_name, maxsplit=1)[0]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {"resolve": resolve, "check": check}[sys.argv[1]](sys.argv[2])
    else:
        raise SystemExit(main())
