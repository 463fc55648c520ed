"""``shelfcast bench ratings``: explicit ratings held out at random, by biases and factors beside simpler means."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from shelfcast.errors import SourceError
from shelfcast.measured import Measured
from shelfcast.models.biased_factors import Options, Ratings, fit

_COLUMNS = ("user", "item", "rating")
_TENTHS = 10  # one validates, one tests


def ratings(path: Path, seed: int, *, final: bool) -> Measured:
    """Fit on eight tenths of a file's ratings, choose the epoch on one, measure on it or on the last tenth.

    Args:
        path: a line is user, item, rating and whatever else, apart by comma or tab; a first line of names may be there.
        final: measure on the test instead of the validation.

    Raises:
        SourceError: if the file cannot be read or holds too few ratings.
    """
    found, users, items = read(path)
    tenth = np.random.default_rng(seed).permutation(len(found)) % _TENTHS
    training, validation, test = (found.part(mask) for mask in (tenth > 1, tenth == 1, tenth == 0))
    asked = test if final else validation
    errors = {
        "mean": float(np.sqrt(np.mean((asked.values - training.values.mean()) ** 2))),
        "biases": fit(training, validation, users, items, seed, Options(factors=0)).rmse(asked),
        "biased factors": fit(training, validation, users, items, seed).rmse(asked),
    }
    split = "test" if final else "validation"
    document: dict[str, Any] = {
        "bench": "ratings", "data": path.name, "split": split, "ratings": len(found), "users": users, "items": items,
        "rmse": errors["biased factors"], "rivals": {name: errors[name] for name in ("mean", "biases")},
    }  # fmt: skip
    table = Table(title=f"{path.name}, {split}: {len(asked):,} of {len(found):,} ratings", title_justify="left")
    table.add_column("Model")
    table.add_column("RMSE", justify="right")
    for name, error in errors.items():
        table.add_row(name, f"{error:.4f}")
    return Measured([table], document)


def read(path: Path) -> tuple[Ratings, int, int]:
    """Ratings with dense numbers for users and items, and how many of each there are.

    Raises:
        SourceError: naming the file, and the line where there is one.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            first = stream.readline()
        separator = "\t" if "\t" in first else ","
        table = pd.read_csv(path, sep=separator, header=None, usecols=[0, 1, 2], names=_COLUMNS, dtype=str)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SourceError(f"{path}: a line must be user, item, rating, apart by comma or tab: {error}") from error
    values = pd.to_numeric(table["rating"], errors="coerce")
    begin = int(len(values) > 0 and np.isnan(values.iloc[0]))  # a line of names
    wrong = np.flatnonzero(~np.isfinite(values.to_numpy()[begin:]))
    if len(wrong):
        line = int(wrong[0]) + begin
        raise SourceError(f"{path}, line {line + 1}: {table['rating'].iloc[line]!r} is no rating")
    if len(values) - begin < _TENTHS:
        raise SourceError(f"{path}: {len(values) - begin} ratings are too few; at least {_TENTHS} are needed")
    users, items = (pd.factorize(table[side].iloc[begin:]) for side in ("user", "item"))
    found = Ratings(users[0].astype(np.int32), items[0].astype(np.int32), values.to_numpy()[begin:])
    return found, len(users[1]), len(items[1])
