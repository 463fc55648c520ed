"""What is said of products besides their events, as words: ``brand=ACME``, ``price=4``, ``description=coffee``.

The sequence model learns a vector for every word that enough of its items share. An item without a history is the sum
of its words' vectors, so it has a place among the others on its first day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shelfcast.models.catalogue import Catalogue, codes_in, numbers
from shelfcast.models.histories import runs

PRICE, DESCRIPTION = "price", "description"
_STEPS = 2  # of price in an octave
_LEAST_ITEMS = 3  # that share a word
_MOST_WORDS = 24  # of an item, those that are listed first
_WORD = r"[^\pL\pN]+"


@dataclass(frozen=True)
class _Said:
    """Words of one kind: ``words[places]`` are said of the products ``rows``."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    words: pa.Array


def vocabulary(catalogue: Catalogue, kinds: Sequence[str], known: NDArray[np.bool_]) -> pa.Array:
    """Words of the given kinds that at least three of the products ``known`` share, sorted.

    Args:
        kinds: groups of the catalogue, ``price`` or ``description``; what the catalogue does not tell is left out.
        known: [products], whose vectors are learnt.
    """
    kept = [pa.array([], pa.string())]
    for said in _said(catalogue, kinds):
        shared = np.bincount(said.places[known[said.rows]], minlength=len(said.words)) >= _LEAST_ITEMS
        kept.append(said.words.filter(pa.array(shared)))
    joined = pa.concat_arrays(kept)
    return joined.take(pc.array_sort_indices(joined))


def columns(catalogue: Catalogue, kinds: Sequence[str], words: pa.Array) -> NDArray[np.int32]:
    """[products, S] numbers of each product's words, places in ``words`` + 1, behind them 0; S is at most 24."""
    rows, known = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for said in _said(catalogue, kinds):
        number = codes_in(words, said.words)[said.places] + 1
        rows.append(said.rows[number > 0])
        known.append(number[number > 0])
    row, number = np.concatenate(rows), np.concatenate(known)
    order = np.argsort(row, kind="stable")
    row, number = row[order], number[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < _MOST_WORDS
    found = np.zeros((len(catalogue), int(place[kept].max(initial=-1)) + 1), np.int32)
    found[row[kept], place[kept]] = number[kept]
    return found


def _said(catalogue: Catalogue, kinds: Sequence[str]) -> Iterator[_Said]:
    for kind in kinds:
        if kind == PRICE and PRICE in catalogue.traits:
            price = np.expm1(catalogue.traits[PRICE].astype(np.float64))
            rows = np.flatnonzero(price > 0)
            steps, places = np.unique(np.round(_STEPS * np.log2(price[rows])).astype(np.int64), return_inverse=True)
            yield _Said(rows, places, _named(kind, pa.array(steps).cast(pa.string())))
        elif kind in catalogue.groups:
            yield _split(kind, catalogue.groups[kind]) if kind == DESCRIPTION else _whole(kind, catalogue.groups[kind])


def _whole(kind: str, values: pa.DictionaryArray) -> _Said:
    places = numbers(values).astype(np.int64)
    return _Said(np.flatnonzero(places >= 0), places[places >= 0], _named(kind, values.dictionary))


def _split(kind: str, values: pa.DictionaryArray) -> _Said:
    """Each text's words, in small letters; a word that a text repeats is said once."""
    lists = pc.split_pattern_regex(pc.utf8_lower(values.dictionary), _WORD)
    flat = lists.flatten().dictionary_encode()
    texts = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    word = flat.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    real = np.asarray(pc.greater(pc.utf8_length(flat.dictionary), 1).to_numpy(zero_copy_only=False), bool)[word]
    _, first = np.unique(texts[real] * max(len(flat.dictionary), 1) + word[real], return_index=True)
    first = np.sort(first)
    texts, word = texts[real][first], word[real][first]
    of_product = numbers(values)
    rows = np.flatnonzero(of_product >= 0)
    begins = np.searchsorted(texts, np.arange(len(values.dictionary) + 1))
    sizes = np.diff(begins)[of_product[rows]]
    _, places = runs(begins[of_product[rows]], sizes)
    return _Said(np.repeat(rows, sizes), word[places], _named(kind, flat.dictionary))


def _named(kind: str, values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(f"{kind}=", values.cast(pa.string()), "")
