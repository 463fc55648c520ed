"""What a SQL expression of the configuration refers to, and clear errors where it cannot."""

from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from shelfcast.errors import ConfigError

Name = tuple[str, ...]


def references(spark: SparkSession, text: str, key: str) -> set[Name]:
    """The names in an expression, each as its parts: ``{("raw", "price"), ("quantity",)}``.

    Args:
        key: where the expression stands in the configuration, for the error.

    Raises:
        ConfigError: if it is no Spark SQL expression.
    """
    jvm_session: Any = spark._jsparkSession  # noqa: SLF001  PySpark offers no parser
    try:
        parsed = jvm_session.sessionState().sqlParser().parseExpression(text)
    except PySparkException as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"{key}: {text!r} is no Spark SQL expression: {first}") from error
    leaves = parsed.collectLeaves()
    found = (leaves.apply(index) for index in range(leaves.size()))
    named = (leaf for leaf in found if leaf.getClass().getSimpleName() == "UnresolvedAttribute")
    return {tuple(leaf.nameParts().apply(i) for i in range(leaf.nameParts().size())) for leaf in named}
