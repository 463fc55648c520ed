"""What a part of a step cost is what Spark's stages of it cost, and of nothing else."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyspark.sql import SparkSession

from shelfcast.lake.costs import Costs


def test_a_part_counts_its_own_jobs_only(spark: SparkSession, tmp_path: Path) -> None:
    costs = Costs("clean 2024-01-07")
    spark.range(1000).write.parquet(str(tmp_path / "before"))

    with costs.part(spark, "write"):
        described = spark.sparkContext.getLocalProperty("spark.job.description")
        spark.range(50_000).repartition(3).write.parquet(str(tmp_path / "written"))
    with costs.part(spark, "nothing"):
        pass
    with costs.part(spark, "read"):
        spark.read.parquet(str(tmp_path / "written")).selectExpr("sum(id)").collect()

    counts = costs.counts()
    assert described == "clean 2024-01-07: write"
    assert spark.sparkContext.getLocalProperty("spark.job.description") is None
    on_disk = sum(file.stat().st_size for file in (tmp_path / "written").glob("*.parquet"))
    assert counts["write"]["bytes_written"] == on_disk
    assert counts["write"]["bytes_shuffled"] > 50_000
    assert counts["write"]["tasks"] >= 3
    assert counts["read"]["bytes_read"] > 0
    assert counts["read"]["bytes_written"] == 0
    assert {value for name, value in counts["nothing"].items() if name != "seconds"} == {0}
    assert counts["write"]["seconds"] > 0


def test_parts_of_two_threads_do_not_mix_and_a_repeated_one_adds_up(spark: SparkSession, tmp_path: Path) -> None:
    costs = Costs("step")

    def write(name: str) -> None:
        with costs.part(spark, name):
            spark.range(10_000).coalesce(1).write.parquet(str(tmp_path / name))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["one", "two"]))
    one = costs.counts()["one"]
    with costs.part(spark, "one"):
        spark.range(10_000).coalesce(1).write.parquet(str(tmp_path / "again"))

    assert one["bytes_written"] == sum(file.stat().st_size for file in (tmp_path / "one").glob("*.parquet"))
    assert costs.counts()["one"]["bytes_written"] == 2 * one["bytes_written"]
    assert costs.counts()["two"]["bytes_written"] == one["bytes_written"]
