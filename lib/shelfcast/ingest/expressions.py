"""Columns that a source's expressions name and its files must have."""

import difflib
from collections.abc import Iterable

from shelfcast.errors import SourceError


def require_columns(wanted: Iterable[str], have: Iterable[str], key: str, files: str) -> None:
    """Check that raw columns are there, upper and lower case being the same.

    Raises:
        SourceError: naming the expression's key, the files, the column and the nearest one that is there.
    """
    names = list(have)
    lower = {name.lower() for name in names}
    for name in wanted:
        if name.lower() not in lower:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            near = f"did you mean {close[0]}?" if close else "correct the expression"
            raise SourceError(
                f"{key} names column {name}, but {files} has none of that name; it has {', '.join(names)}; {near}"
            )
