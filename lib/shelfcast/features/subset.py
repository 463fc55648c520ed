"""A stated part of the catalogue, for grains that would be too many series as a whole."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def largest(series: DataFrame, products: int | None) -> DataFrame:
    """Only the series of the products of which most pieces were sold up to the cutoff; all if ``products`` is None.

    Nothing later than the cutoff decides, so a backtest over such a part looks at nothing it could not have known.

    Args:
        series: ``series.build``.
        products: how many; of equals those of the lower product_id.
    """
    if products is None:
        return series
    sold = series.groupBy("product_id").agg(F.sum("units").alias("sold"))
    chosen = sold.orderBy(F.desc("sold"), "product_id").limit(products)
    return series.join(F.broadcast(chosen), "product_id", "left_semi").select(*series.columns)
