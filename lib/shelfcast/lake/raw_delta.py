"""The files behind a raw log that arrives as a Delta table."""

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from shelfcast.errors import TableMissing
from shelfcast.lake.paths import storage_options


def current_files(uri: str) -> list[tuple[str, int]]:
    """Path relative to ``uri`` and size in bytes of each file of the newest version.

    Raises:
        TableMissing: if there is no Delta table at ``uri``.
    """
    try:
        table = DeltaTable(uri, storage_options=storage_options(uri))
    except TableNotFoundError as error:
        raise TableMissing(f"{uri} is no Delta table") from error
    actions = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    return list(zip(actions["path"], actions["size_bytes"], strict=True))
