"""The promotion join and weekly demand of Complete Journey, beside DuckDB on the same files.

20.9 million plans by product, store and week meet 1.47 million sales. Timed are the parts of the features step that do
so, warm and with what they write: packing the plans, gold/covariates, gold/demand. DuckDB joins sales to plans and
aggregates by product and week with as many threads; what it finds is not written.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_logs  # noqa: E402
import duckdb  # noqa: E402
from deltalake import DeltaTable  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

from shelfcast.config import load  # noqa: E402
from shelfcast.lake import session  # noqa: E402
from shelfcast.pipeline import Pipeline  # noqa: E402
from shelfcast.settings import Settings  # noqa: E402
from shelfcast.stages import FEATURES, INGEST  # noqa: E402

PARTS = ("pack silver/promotions", "write gold/covariates", "write gold/demand")
JOINED = """
    SELECT sold.product_id, sold.week_start, sum(sold.quantity), count(DISTINCT sold.order_id),
           sum(sold.quantity * sold.unit_price), avg((plans.display IS NOT NULL)::INT), avg((plans.mailer IS NOT NULL)::INT)
    FROM read_parquet({events}, hive_partitioning = true) AS sold
    LEFT JOIN (SELECT DISTINCT product_id, store_id, valid_from, display, mailer FROM read_parquet({plans})) AS plans
      ON plans.product_id = sold.product_id AND plans.store_id = sold.store_id
         AND plans.valid_from = sold.week_start::DATE
    WHERE sold.event_type = 'purchase'
    GROUP BY ALL
"""  # noqa: E501


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", type=Path, help="a lake with the logs' silver, to be copied; default: made anew")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary)
        silver = given.lake or where / "silver"
        settings = load([], [], str(silver), None).settings
        spark = session.build(settings, "bench")
        if given.lake is None:
            Pipeline(settings, bench_logs.Quiet()).run(INGEST)
        scan = scanned(spark, silver)
        cold, warm = (built(settings, silver, where / name) for name in ("cold", "warm"))
        spark.stop()
        other = beside(silver)
    for name in PARTS:
        print(f"{name}: {cold[name]:.1f} s cold, {warm[name]:.1f} s warm")
    seconds = sum(warm.values())
    print(f"reading the plans' columns: {scan:.1f} s")
    print(f"together warm {seconds:.1f} s; DuckDB {other:.1f} s; {seconds / other:.1f} ×")
    document = {"bench": "promotions", "seconds": seconds, "ratio": seconds / other, "duckdb_seconds": other}
    print(json.dumps(document | {"scan_seconds": scan, "cold": cold, "warm": warm}))


def scanned(spark: SparkSession, lake: Path) -> float:
    """Seconds to read the promotion columns that matter, the second time."""
    plans = spark.read.format("delta").load(str(lake / "silver/promotions"))
    columns = ("product_id", "store_id", "display", "mailer", "valid_from", "valid_to", "known_from")
    for _ in range(2):
        began = time.perf_counter()
        plans.agg(F.bit_xor(F.xxhash64(*columns))).collect()
    return time.perf_counter() - began


def built(settings: Settings, silver: Path, lake: Path) -> dict[str, float]:
    """Part → seconds of the features step in a copy of the lake."""
    shutil.copytree(silver, lake)
    pipeline = Pipeline(settings.model_copy(update={"lake": str(lake)}), bench_logs.Quiet())
    parts = pipeline.run(FEATURES, pipeline.as_of()).record.counts["parts"]
    shutil.rmtree(lake)
    return {name: float(parts[name]["seconds"]) for name in PARTS}


def beside(lake: Path) -> float:
    """DuckDB's seconds, the second time."""
    files = {
        name: str(DeltaTable(str(lake / "silver" / table)).file_uris())
        for name, table in (("events", "events"), ("plans", "promotions"))
    }
    with duckdb.connect(config={"threads": os.cpu_count() or 1}) as connection:
        for _ in range(2):
            began = time.perf_counter()
            connection.sql(JOINED.format(**files)).fetchnumpy()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
