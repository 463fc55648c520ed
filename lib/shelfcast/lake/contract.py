"""A table's contract: its columns with types and meaning, its key, and the column that slices it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import Column as Column_
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from shelfcast.errors import ContractError

_PRIMITIVES: dict[str, DataType] = {
    "boolean": BooleanType(),
    "date": DateType(),
    "double": DoubleType(),
    "float": FloatType(),
    "int": IntegerType(),
    "long": LongType(),
    "string": StringType(),
    "timestamp": TimestampType(),
}


def spark_type(text: str) -> DataType:
    """A declared type as Spark's: a primitive, ``array<T>`` or ``struct<name:T,...>`` of primitives.

    Spark's own DDL parser needs a running JVM; contracts are also read where there is none.
    """
    if text.startswith("array<"):
        return ArrayType(spark_type(text[6:-1]))
    if text.startswith("struct<"):
        pairs = (field.split(":") for field in text[7:-1].split(","))
        return StructType([StructField(name, spark_type(kind)) for name, kind in pairs])
    return _PRIMITIVES[text]


@dataclass(frozen=True)
class Column:
    """One column: ``type`` as in ``spark_type``, ``required`` means never null."""

    name: str
    type: str
    meaning: str
    required: bool = False


@dataclass(frozen=True)
class Contract:
    """What a table promises its readers.

    Attributes:
        name: folder below the lake, e.g. ``gold/demand``.
        row: what one row is.
        columns: in stored order.
        key: columns whose values together are unique.
        slice: the column a slice is one value of, and the table's partition; none for small whole tables.
        personal: whether rows speak of single persons.
        clustered: columns that compaction orders the rows of a slice by.
        open: whether further columns than the declared may follow (bronze keeps whatever it read).
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    slice: str | None = None
    personal: bool = False
    open: bool = False
    clustered: tuple[str, ...] = ()

    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    def schema(self) -> StructType:
        """The Spark schema of the declared columns."""
        return StructType([StructField(c.name, spark_type(c.type), not c.required) for c in self.columns])

    def conform(self, frame: DataFrame) -> DataFrame:
        """Select the contract's columns in order.

        Raises:
            ContractError: naming the table, the column and both types, if the frame does not fit.
        """
        have = {f.name: f.dataType for f in frame.schema.fields}
        for column in self.columns:
            wanted = spark_type(column.type)
            if column.name not in have:
                raise ContractError(f"table {self.name}: the frame lacks column {column.name} ({column.type})")
            if not same_type(have[column.name], wanted):
                raise ContractError(
                    f"table {self.name}: column {column.name} is {have[column.name].simpleString()}, "
                    f"the contract says {wanted.simpleString()}; cast it before writing"
                )
        extra = [name for name in have if name not in self.names()]
        if extra and not self.open:
            raise ContractError(
                f"table {self.name}: the frame has column(s) {', '.join(extra)} that the contract does not declare"
            )
        return frame.select(*self.names(), *extra)

    def required(self) -> list[str]:
        """Columns that may not hold null: the required ones and the key."""
        return [c.name for c in self.columns if c.required or c.name in self.key]

    def check_required(self, frame: DataFrame) -> DataFrame:
        """Make a write fail, naming the column, at the first null in a required column."""
        required = set(self.required())
        return frame.select(
            *(self._guarded(frame, name) if name in required else F.col(f"`{name}`") for name in frame.columns)
        )

    def _guarded(self, frame: DataFrame, name: str) -> Column_:
        message = f"table {self.name}: column {name} is null, but it is required"
        failure = F.raise_error(F.lit(message)).cast(frame.schema[name].dataType)
        return F.coalesce(F.col(f"`{name}`"), failure).alias(name)


def same_type(left: DataType, right: DataType) -> bool:
    """Equal types, nullability inside arrays and structs aside."""
    if isinstance(left, ArrayType) and isinstance(right, ArrayType):
        return same_type(left.elementType, right.elementType)
    if isinstance(left, StructType) and isinstance(right, StructType):
        return [f.name for f in left] == [f.name for f in right] and all(
            same_type(a.dataType, b.dataType) for a, b in zip(left, right, strict=True)
        )
    return left.simpleString() == right.simpleString()


def columns(*rows: tuple[str, str, str] | tuple[str, str, str, bool]) -> tuple[Column, ...]:
    """Columns from rows of (name, type, meaning[, required])."""
    return tuple(Column(*row) for row in rows)


def by_name(contracts: Iterable[Contract]) -> dict[str, Contract]:
    return {contract.name: contract for contract in contracts}
