"""What Spark's workers hold of a recommender."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from shelfcast.models import folder
from shelfcast.models.recommending import Recommender
from shelfcast.score import recommendations


def test_workers_map_the_items_vectors_from_the_models_own_file(spark: SparkSession, tmp_path: Path) -> None:
    uri, vectors = str(tmp_path / "v1"), np.arange(6, dtype=np.float32).reshape(3, 2)
    folder.publish(uri, Recommender({}, pa.array(["jam", "milk", "tea"]), None, None, vectors).files())

    def look(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            found = recommendations.loaded(uri).vectors
            where, rows = str(found.base.filename), len(frame)
            yield pd.DataFrame({"file": [where] * rows, "sum": [float(found.sum())] * rows})

    rows = spark.range(0, 4, 1, 2).mapInPandas(look, "file string, sum double").distinct().collect()
    assert [(row["file"], row["sum"]) for row in rows] == [(str(tmp_path / "v1" / "vectors.npy"), 15.0)]
