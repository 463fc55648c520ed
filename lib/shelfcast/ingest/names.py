"""Raw column names as the lake can store them."""

import re
from collections.abc import Iterable

_FORBIDDEN = re.compile(r"[ ,;{}()\n\t=.`\"]+")


def storable(names: Iterable[str]) -> list[str]:
    """One distinct name for each, in order: what Delta forbids becomes ``_``, a repeated name gets a number.

    A name that begins with ``_`` gets an ``x`` in front, because such columns are the lake's own.
    """
    taken: set[str] = set()
    result = []
    for index, raw in enumerate(names):
        name = _FORBIDDEN.sub("_", raw.lstrip("\ufeff").strip()) or f"c{index}"
        name = f"x{name}" if name.startswith("_") else name
        stem, number = name, 2
        while name.lower() in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.lower())
        result.append(name)
    return result


def ddl_fields(fields: str) -> list[tuple[str, str]]:
    """(name, type) of a DDL list such as ``user string, price double``; commas inside types do not split."""
    parts = re.split(r",(?![^<(]*[>)])", fields)
    pairs = (part.strip().replace("`", "").split(None, 1) for part in parts if part.strip())
    return [(pair[0].rstrip(":"), pair[1] if len(pair) > 1 else "string") for pair in pairs]


def as_ddl(fields: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind in fields)
