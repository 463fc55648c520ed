"""Looks for texts, such as a person's ids, in everything that lies below a lake's URI, decoded.

Data files and checkpoints of Delta logs are Parquet, in which raw bytes would hide an id behind dictionaries and
compression; archives and compressed files are opened; all else is read as it is.
"""

import gzip
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from shelfcast.lake.paths import filesystem, normalise

SHORTEST = 6  # characters of a text that is looked for outside columns of ids, where shorter ones stand for anything
_AT_ONCE = 8
_ROWS = 65536


@dataclass(frozen=True, order=True)
class Trace:
    """A place that tells of what was looked for.

    Attributes:
        file: its path below the lake.
        place: the column, or the file in an archive; "" for the file as such.
    """

    file: str
    place: str


def traces(lake: str, texts: Collection[str], id_columns: Collection[str]) -> list[Trace]:
    """Every file, with the columns, that holds any of the texts as a word of its own.

    Args:
        id_columns: columns that hold ids; a text of fewer than ``SHORTEST`` characters is looked for only there.
    """
    files, inner = filesystem(normalise(lake))
    listed = files.get_file_info(fs.FileSelector(inner, recursive=True, allow_not_found=True))
    wanted = _Wanted(tuple(sorted(texts)), frozenset(id_columns))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        searched = pool.map(partial(_searched, files, wanted), [one.path for one in listed if one.is_file])
        places = [(path, place) for path, found in searched for place in found]
    return sorted(Trace(path.removeprefix(inner).lstrip("/"), place) for path, place in places)


@dataclass(frozen=True)
class _Wanted:
    texts: tuple[str, ...]
    id_columns: frozenset[str]

    def words(self) -> str | None:
        """A pattern of the texts as words, in the syntax of RE2 and of Python."""
        longer = [re.escape(text) for text in self.texts if len(text) >= SHORTEST]
        return f"(^|[^0-9A-Za-z])({'|'.join(longer)})([^0-9A-Za-z]|$)" if longer else None

    def holds(self, values: pa.Array, name: str) -> bool:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary
        if name in self.id_columns:
            ids = pc.is_in(pc.cast(values, pa.string(), safe=False), pa.array(self.texts, pa.string()))
            if pc.any(ids).as_py():
                return True
        words = self.words()
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        return words is not None and is_text and bool(pc.any(pc.match_substring_regex(values, words)).as_py())


def _searched(files: fs.FileSystem, wanted: _Wanted, path: str) -> tuple[str, list[str]]:
    with files.open_input_file(path) as opened:
        if path.endswith(".parquet"):
            return path, sorted(_in_parquet(opened, wanted))
        content = opened.read()
    words = wanted.words()
    if words is None:
        return path, []
    pattern = re.compile(words.encode(), re.MULTILINE)
    return path, sorted(name for name, part in _parts(path, content) if pattern.search(part))


def _in_parquet(opened: pa.NativeFile, wanted: _Wanted) -> set[str]:
    found: set[str] = set()
    for batch in pq.ParquetFile(opened).iter_batches(_ROWS):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            found |= {place for place, leaf, values in _leaves(name, name, column) if wanted.holds(values, leaf)}
    return found


def _leaves(place: str, name: str, values: pa.Array) -> Iterator[tuple[str, str, pa.Array]]:
    """(path, its last name, values) of every column inside a nested one."""
    kind = values.type
    if pa.types.is_struct(kind):
        for field, child in zip(kind, values.flatten(), strict=True):
            yield from _leaves(f"{place}.{field.name}", field.name, child)
    elif pa.types.is_map(kind):
        yield from _leaves(f"{place}.key", name, values.keys)
        yield from _leaves(f"{place}.value", name, values.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(place, name, values.flatten())
    else:
        yield place, name, values


def _parts(path: str, content: bytes) -> Iterable[tuple[str, bytes]]:
    """(name, bytes) of what is inside a compressed file or an archive; the file itself where it is none."""
    if path.endswith(".gz"):
        return [("", gzip.decompress(content))]
    if zipfile.is_zipfile(BytesIO(content)):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return [(one, archive.read(one)) for one in archive.namelist()]
    return [("", content)]


def summary(found: Sequence[Trace]) -> list[dict[str, object]]:
    """One row a place and folder: how many files tell of it there."""
    counted: dict[tuple[str, str], int] = {}
    for trace in found:
        folder = trace.file.rpartition("/")[0]
        counted[folder, trace.place] = counted.get((folder, trace.place), 0) + 1
    return [{"folder": folder, "place": place, "files": number} for (folder, place), number in counted.items()]
