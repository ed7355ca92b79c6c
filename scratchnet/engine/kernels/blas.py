"""BLAS's matrix product for Numba: that of NumPy's library, into an array and in place.

Numba's own `np.dot` calls SciPy's library, which is up to a third slower at small
sizes, and it cannot add to what is there.
"""

import contextlib
import ctypes
import functools
from itertools import product
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import get_cython_function_address, intrinsic
from threadpoolctl import ThreadpoolController

from scratchnet.backend.products import small_products


@functools.cache
def address_of_gemm(dtype: str) -> int:
    """Where the function gemm of NumPy's BLAS begins, for float32 or float64.

    That of SciPy's, if NumPy's library is not found.
    """
    name = "sgemm" if np.dtype(dtype) == np.float32 else "dgemm"
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        if "scipy.libs" not in library.filepath and "scipy/.dylibs" not in library.filepath:
            for before, after in product(("", "scipy_"), ("", "64_", "_64")):
                with contextlib.suppress(AttributeError, OSError):
                    function = getattr(ctypes.CDLL(library.filepath), f"{before}{name}_{after}")
                    return ctypes.cast(function, ctypes.c_void_p).value or 0
    return get_cython_function_address("scipy.linalg.cython_blas", name)


@functools.cache
def blas_of(dtype: str) -> tuple[int, int]:
    """What the products of products.py are told of NumPy's BLAS."""
    return address_of_gemm(dtype), small_products()


@intrinsic
def gemm(typing: Any, address: Any, alpha: Any, A: Any, B: Any, beta: Any, C: Any) -> Any:
    """C ← α A B + β C, where one axis of every array is contiguous, in C the second.

    The arrays may be columns of larger ones, or their transposes. BLAS counts columns
    first: to it this is Cᵀ ← α Bᵀ Aᵀ + β Cᵀ. A row of B that is contiguous is a column
    of Bᵀ, so nothing has to be transposed. Fortran takes the addresses of numbers. It
    may have whole numbers of 32 bits: then it reads the first half of ours, which is
    the lower one.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where, alpha_, _, _, beta_, _ = args
        a, b, c = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip((A, B, C), (args[2], args[3], args[5]))
        )

        def number(value: Any) -> Any:
            return cgutils.alloca_once_value(builder, value)  # type: ignore[no-untyped-call]

        def pair(axes: Any) -> Any:
            return cgutils.unpack_tuple(builder, axes)  # type: ignore[no-untyped-call]

        def in_memory(array: Any) -> tuple[Any, Any]:
            """Whether BLAS has to transpose, N or T, and numbers from row to row."""
            (rows, columns), strides = pair(array.shape), pair(array.strides)
            by_rows = builder.icmp_signed("==", strides[1], array.itemsize)
            apart, least = builder.select(by_rows, strides[0], strides[1]), builder.select(by_rows, columns, rows)
            apart = builder.sdiv(apart, array.itemsize)
            letters = (ir.Constant(ir.IntType(8), ord(letter)) for letter in "NT")
            enough = builder.icmp_signed(">", apart, least)
            return number(builder.select(by_rows, *letters)), number(builder.select(enough, apart, least))

        real = [number(context.cast(builder, v, t, C.dtype)) for v, t in ((alpha_, alpha), (beta_, beta))]
        ((m, n), (_, k)), letter, apart = (pair(c.shape), pair(a.shape)), {}, {}
        for name, array in (("a", a), ("b", b), ("c", c)):
            letter[name], apart[name] = in_memory(array)
        given = [
            letter["b"], letter["a"], number(n), number(m), number(k), real[0], b.data, apart["b"], a.data, apart["a"],
            real[1], c.data, apart["c"],
        ]  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        builder.call(builder.inttoptr(where, kind.as_pointer()), given)
        return context.get_dummy_value()

    if not all(isinstance(t, types.Array) for t in (A, B, C)) or C.layout == "F":
        return None
    return types.void(address, alpha, A, B, beta, C), generate
