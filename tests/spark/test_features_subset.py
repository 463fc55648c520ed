"""A stated part of the catalogue is chosen by what sold, product by product."""

from pyspark.sql import SparkSession

from shelfcast.features.subset import largest


def test_all_stores_of_the_products_that_sold_most_stay_and_null_keeps_everything(spark: SparkSession) -> None:
    rows = [("a", "s1", 5.0), ("a", "s2", 4.0), ("b", "s1", 8.0), ("c", "s1", 8.0)]
    series = spark.createDataFrame(rows, "product_id string, store_id string, units double")
    kept = largest(series, 2)
    assert kept.columns == series.columns
    assert sorted(row[:2] for row in kept.collect()) == [("a", "s1"), ("a", "s2"), ("b", "s1")]
    assert largest(series, None) is series
