"""Content ids of gold slices: what a slice was made from, so that an unchanged slice is never written again."""

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import ModuleType

from shelfcast.lake.step import Step, content_id


@cache
def code_id(*modules: ModuleType) -> str:
    """Hash of what modules do: comments, docstrings and layout do not count."""
    return content_id([ast.dump(_bare(ast.parse(inspect.getsource(module)))) for module in modules])


def _bare(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


@dataclass(frozen=True)
class Inputs:
    """Content ids of one input table's slices.

    Attributes:
        table: the table, or a name for the summary that stands for it.
        ids: slice as text → content id.
        missing: what stands for a slice that is not there.
    """

    table: str
    ids: Mapping[str, str]
    missing: str = "-"

    @classmethod
    def stored(cls, step: Step, table: str) -> "Inputs":
        """Of a table in the lake. Where nobody knows them the run's id stands in, so that everything is rebuilt."""
        known = step.contents(table)
        return cls(table, known, "-" if known or not step.has(table) else f"unknown in {step.run_id}")

    def of(self, slices: Sequence[date]) -> list[object]:
        return [self.table, *(self.ids.get(day.isoformat(), self.missing) for day in slices)]

    def whole(self) -> list[object]:
        return [self.table, self.ids.get("*", self.missing)]


def stale(step: Step, table: str, wanted: Mapping[date, str]) -> list[date]:
    """Slices whose stored content id differs from the wanted one, oldest first."""
    stored = step.contents(table)
    return sorted(day for day, wanted_id in wanted.items() if stored.get(day.isoformat()) != wanted_id)


def texts(wanted: Mapping[date, str]) -> dict[str, str]:
    return {day.isoformat(): wanted_id for day, wanted_id in wanted.items()}
