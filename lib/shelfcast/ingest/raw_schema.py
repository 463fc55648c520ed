"""How the columns of a raw log may change from file to file: new ones come along, a type stays what it was."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.types import StructType

from shelfcast.errors import SourceError
from shelfcast.ingest.files import RawFile
from shelfcast.lake.paths import filesystem

_MEND = "write the later files with the former type, or give them an input of their own in the source's YAML"


def footer(file: RawFile) -> pa.Schema:
    """The columns of a Parquet file.

    Raises:
        SourceError: if it is no whole Parquet file.
    """
    files, inner = filesystem(file.uri)
    try:
        return pq.read_schema(inner, filesystem=files)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"file {file.uri} is no whole Parquet file, it may be truncated; export it again ({error})"
        ) from error


def conflict(files: Sequence[RawFile]) -> SourceError | None:
    """What two Parquet files that cannot be read together disagree on; None if it is nothing that is known here."""
    first: dict[str, tuple[str, RawFile]] = {}
    for file in files:
        for field in footer(file):
            kind, other = first.setdefault(field.name, (str(field.type), file))
            if kind != str(field.type):
                return SourceError(
                    f"file {file.uri}: column {field.name} is {field.type}, but {kind} in {other.uri}; {_MEND}"
                )
    return None


def check_types(arrived: StructType, stored: StructType, files: str, bronze: str) -> None:
    """Refuse raw columns whose type is no longer what it was in the files read before.

    Raises:
        SourceError: naming the files, the column and both types.
    """
    before = {field.name.lower(): field.dataType.simpleString() for field in stored}
    for field in arrived:
        kind = field.dataType.simpleString()
        known = before.get(field.name.lower(), kind)
        if known != kind:
            raise SourceError(
                f"{files}: column {field.name} is {kind}, but {known} in {bronze} from files before; {_MEND}"
            )
