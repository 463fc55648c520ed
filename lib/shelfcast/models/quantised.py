"""Bounds of inner products from 8-bit vectors, with which an exact search tells what it need not look at.

A vector is a scale times whole numbers of -127 to 127 and an error, whose length is kept. With û, v̂ what is left of u
and v without their errors e and f, u·v = û·v̂ + e·v + û·f, so that u·v ≤ û·v̂ + |e||v| + |û||f| (Cauchy and Schwarz).
û·v̂ is a sum of products of 8-bit numbers, of which the processor adds 64 at a time (AVX512-VNNI). What the bound does
not rule out is scored exactly, as in Guo et al., Accelerating Large-Scale Inference with Anisotropic Vector
Quantization, whose search is not exact.

The last column stays as it is: biases of items have a scale of their own.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

GROUP, TILE = 4, 64  # users and items whose sums fill 16 of 32 registers
_LANES = 16  # of a register
LONGEST = 1 << 16  # columns whose sums fit in 32 bits
HUGE, TINY = np.float32(2.0**48), np.float32(2.0**-48)  # norms whose products are normal numbers lie between them
_NEGLIGIBLE = np.float32(2.0**-64)  # squares of this and less are lost


def supported() -> bool:
    """Whether the processor that numba compiles for has the instruction."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512vnni" in features.split(",")


class Bounds:
    """Upper bounds of the inner products of users with one block of items after the other.

    Args:
        users: [users, dim] float32.
        at_once: users whose bounds are asked for together, at most.
        items: of a block, a multiple of ``TILE``.
    """

    def __init__(self, users: NDArray[Any], at_once: int, items: int) -> None:
        tiles, steps, rows = items // TILE, -(-(users.shape[1] - 1) // 4), len(users) + GROUP
        self._users, self._user_terms = np.zeros((rows, 4 * steps), np.uint8), np.zeros((rows, 4), np.float32)
        _pack_users(users, self._users, self._user_terms)
        self._items = np.zeros((tiles, 1 + steps, TILE), np.int32)
        self._item_terms = np.zeros((tiles, 4, TILE), np.float32)
        self._found = np.empty((min(len(users), at_once) + GROUP, items), np.float32)

    def visit(self, block: NDArray[Any], filled: int) -> float:
        """Takes the next block: ``filled`` rows of [items, dim] float32. Returns the largest norm of an item.

        No inner product exceeds its bound, but for what float32 rounds, which is in proportion to the norms; the norm
        is inf where that need not be so.
        """
        return float(_pack_items(block[:filled], self._items, self._item_terms))

    def of(self, start: int, stop: int) -> NDArray[Any]:
        """[users, items] float32 bounds of users ``start`` to ``stop``, valid until the next call; nan: not known."""
        users = slice(start, start + -(-(stop - start) // GROUP) * GROUP)
        found = self._found[: users.stop - start]
        _put(self._users[users].view(np.int32), self._user_terms[users], self._items, self._item_terms, found)
        return found[: stop - start]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _quantise(vector: Any, whole: Any) -> Any:
    """Puts whole numbers of all but the last column.

    Returns:
        scale, then norms: of the columns that are quantised, of their error, of the whole numbers times the scale, and
        of all columns. Instead of them, nan where a column is nan, inf where sums of products may not be finite.
    """
    bits, size = vector.view(np.int32), len(vector) - 1
    top = np.int32(0)
    for place in range(size):
        top = max(top, bits[place] & np.int32(0x7FFFFFFF))  # orders like |x|, with nan above inf
    last = bits[size] & np.int32(0x7FFFFFFF)
    none = np.float32(0)
    highest = max(top, last)
    if highest == 0:
        return none, none, none, none, none
    if highest >= np.float32(HUGE).view(np.int32):
        bad = np.float32(np.nan if highest > 0x7F800000 else np.inf)
        return none, bad, bad, bad, bad
    largest = np.int32(top).view(np.float32)
    scale = largest / np.float32(127) if largest > _NEGLIGIBLE else none
    inverse = np.float32(127) / largest if largest > _NEGLIGIBLE else none
    squares, errors, wholes = none, none, none
    for place in range(size):
        value = vector[place]
        nearest = np.rint(value * inverse)
        error = value - scale * nearest
        whole[place] = np.int8(nearest)
        squares += value * value
        errors += error * error
        wholes += nearest * nearest
    norm, full = np.sqrt(squares), np.sqrt(squares + vector[size] * vector[size])
    return scale, norm + TINY, np.sqrt(errors) + TINY, scale * np.sqrt(wholes) + TINY, full + TINY


@njit(cache=True, nogil=True, error_model="numpy")
def _pack_users(vectors: Any, packed: Any, terms: Any) -> None:
    """Whole numbers + 128 of users, and what their bounds consist of."""
    whole = np.zeros(packed.shape[1], np.int8)
    for user in range(len(vectors)):
        scale, _, error, left, _ = _quantise(vectors[user], whole)
        for place in range(vectors.shape[1] - 1):
            packed[user, place] = np.uint8(np.int16(whole[place]) + 128)
        terms[user, 0], terms[user, 1], terms[user, 2], terms[user, 3] = scale, error, left, vectors[user, -1]


@njit(cache=True, nogil=True, error_model="numpy")
def _pack_items(vectors: Any, packed: Any, terms: Any) -> Any:
    """Whole numbers of items behind their sums × -128, and what their bounds consist of; returns the largest norm."""
    whole = np.zeros(4 * (packed.shape[1] - 1), np.int8)
    words = whole.view(np.int32)
    largest = none = np.float32(0)
    for item in range(len(vectors)):
        tile, place = item // TILE, item % TILE
        scale, norm, error, _, full = _quantise(vectors[item], whole)
        total = np.int32(0)
        for number in whole:
            total += number
        packed[tile, 0, place] = -128 * total
        for step in range(len(words)):
            packed[tile, 1 + step, place] = words[step]
        terms[tile, 0, place], terms[tile, 1, place] = scale, norm
        terms[tile, 2, place], terms[tile, 3, place] = error, vectors[item, -1]
        largest = max(largest, full if full > 0 else none)  # neither is nan
    return largest


def _generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    """The code of :func:`_typed`: totals stay in registers, which LLVM makes of the variables on the stack."""
    integer, index = ir.IntType(32), ir.IntType(64)
    integers, floats = ir.VectorType(integer, _LANES), ir.VectorType(ir.FloatType(), _LANES)
    users, user_terms, first, items, item_terms, tile, found = (
        context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, given, strict=True)
    )
    steps, width = builder.extract_value(users.shape, 1), builder.extract_value(found.shape, 1)
    lines = builder.extract_value(items.shape, 1)
    rows = [builder.add(first, index(place)) for place in range(GROUP)]
    parts = [index(part) for part in range(0, TILE, _LANES)]

    def address(array: Any, row: Any, size: Any, place: Any) -> Any:
        return builder.gep(array.data, [builder.add(builder.mul(row, size), place)])

    def vector(array: Any, row: Any, part: Any, kind: Any) -> Any:
        """A part of a row of a tile."""
        return builder.load(builder.bitcast(address(array, row, index(TILE), part), kind.as_pointer()), align=4)

    def spread(array: Any, row: Any, size: Any, place: Any, kind: Any) -> Any:
        """A vector of the same number."""
        number = builder.load(address(array, row, size, place))
        single = builder.insert_element(ir.Constant(kind, ir.Undefined), number, integer(0))
        return builder.shuffle_vector(single, single, ir.Constant(integers, [0] * _LANES))

    # LLVM 22 has vectors of bytes here, but takes what earlier versions have.
    kind = ir.FunctionType(integers, [integers] * 3)
    add = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", fnty=kind)
    top = builder.mul(tile, lines)
    begin = [vector(items, top, part, integers) for part in parts]
    totals = [[cgutils.alloca_once_value(builder, value) for value in begin] for _ in rows]
    with cgutils.for_range(builder, steps) as loop:
        line = builder.add(builder.add(top, loop.index), index(1))
        numbers = [vector(items, line, part, integers) for part in parts]
        for row, own in zip(rows, totals, strict=True):
            four = spread(users, row, steps, loop.index, integers)
            for total, others in zip(own, numbers, strict=True):
                builder.store(builder.call(add, [builder.load(total), four, others]), total)

    lines = [builder.add(builder.mul(tile, index(4)), index(term)) for term in range(4)]
    for row, own in zip(rows, totals, strict=True):
        factors = [spread(user_terms, row, index(4), index(term), floats) for term in range(4)]
        for part, total in zip(parts, own, strict=True):
            terms = [vector(item_terms, line, part, floats) for line in lines]
            bound = builder.fmul(builder.fmul(builder.sitofp(builder.load(total), floats), terms[0]), factors[0])
            for factor, term in zip(factors[1:], terms[1:], strict=True):
                product = builder.fmul(factor, term, flags=["contract"])
                bound = builder.fadd(bound, product, flags=["contract"])
            place = builder.add(builder.mul(tile, index(TILE)), part)
            builder.store(bound, builder.bitcast(address(found, row, width, place), floats.as_pointer()), align=4)
    return context.get_dummy_value()


def _typed(
    _: Any, users: Any, user_terms: Any, first: Any, items: Any, item_terms: Any, tile: Any, found: Any
) -> tuple[Any, Any]:
    """Puts the bounds of ``GROUP`` users from ``first`` on and the items of a tile.

    Args:
        users: [users, steps] int32: four uint8 each.
        user_terms: [users, 4] float32.
        items: [tiles, 1 + steps, TILE] int32: what the sum begins with, then four int8 each.
        item_terms: [tiles, 4, TILE] float32.
        found: [users, tiles * TILE] float32.
    """
    return types.void(users, user_terms, first, items, item_terms, tile, found), _generate


_put_tile: Any = intrinsic(_typed)


@njit(cache=True, nogil=True, error_model="numpy")
def _put(users: Any, user_terms: Any, items: Any, item_terms: Any, found: Any) -> None:
    for tile in range(len(items)):
        for first in range(0, len(found), GROUP):
            _put_tile(users, user_terms, first, items, item_terms, tile, found)
