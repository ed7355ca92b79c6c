"""An array module that computes on the CPU and is at least as strict as CuPy.

It refuses what CuPy refuses (NumPy arrays beside its own, implicit conversion, names
that CuPy lacks), and also a strided vector in cuBLAS, which CuPy reads wrongly. It
returns what CuPy returns (0-d arrays from reductions, C order from elementwise
functions). It counts what a GPU would wait for (`synchronisations`) and what would be
copied to it (`transfers`). In two ways it is stricter: NumPy's own functions do not
accept its arrays, and a NumPy array can be neither an index nor a value.

Raw kernels run as g++ compiles their source. On a stream that is being captured, only
their launches are allowed; a graph repeats these, and refuses to if an array that it
was recorded with is gone.
"""

import contextlib
import sys
import traceback
import types
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.cuda.emulation import Emulation


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: NumPy's functions that CuPy 14.2 lacks (test_fake_cupy compares them with the
#: installed CuPy)
MISSING = words(
    "asmatrix block bmat busday_count busday_offset datetime_as_string datetime_data einsum_path frompyfunc fromregex "
    "geomspace get_include getbufsize geterr geterrcall histogram_bin_edges info insert is_busday isnat matvec "
    "nanpercentile nanquantile nested_iters polyder polydiv polyint setbufsize seterr seterrcall show_runtime spacing "
    "test unstack vecdot vecmat"
)
MISSING_METHODS = words("ctypes getfield resize setfield setflags to_device")
#: what has to know values on the host, because the shape of its result depends on them
WAITS = words("nonzero flatnonzero argwhere unique extract compress bincount array_equal allclose")
COPIES_TO_DEVICE = words("array asarray asanyarray ascontiguousarray asfortranarray")
NO_KEYWORDS = {"where", "initial"}  # of reductions

synchronisations: list[str] = []
transfers: list[str] = []


def _record(kept: list[str], what: str) -> None:
    """Note `what` with the line of scratchnet (or of the test) that asked for it."""
    _computes()
    here = [f for f in traceback.extract_stack() if f.filename != __file__]
    kept.append(f"{what} in {here[-1].filename.rpartition('/')[2]}:{here[-1].lineno}: {here[-1].line}")


def _computes() -> None:
    """Called by all that computes, allocates or copies."""
    if current_stream().captured is not None:
        raise RuntimeError("only raw kernels may be launched while a stream is captured")


def unwrap(x: Any) -> Any:
    """The NumPy array inside; refuses what CuPy refuses."""
    if isinstance(x, ndarray):
        return x._a
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, (tuple, list)):
        return type(x)(unwrap(v) for v in x)
    if isinstance(x, slice):
        return slice(*(_whole(v) for v in (x.start, x.stop, x.step)))
    return x


def _whole(x: Any) -> Any:
    return None if x is None else x.__index__()


def wrap(x: Any) -> Any:
    """Turn NumPy's arrays and scalars into the device's.

    Containers member by member.
    """
    if isinstance(x, (np.ndarray, np.generic)):
        return ndarray(x)
    if isinstance(x, (tuple, list)):
        return type(x)(wrap(v) for v in x)
    return x


def call(function: Any, args: Any, kwargs: Any, elementwise: bool = False) -> Any:
    _computes()
    out = kwargs.get("out")
    result = function(*map(unwrap, args), **{k: unwrap(v) for k, v in kwargs.items()})
    if out is not None:
        return out[0] if isinstance(out, tuple) else out
    if elementwise and isinstance(result, np.ndarray):
        result = np.ascontiguousarray(result)  # CuPy does not keep Fortran order
    return wrap(result)


class ndarray:
    """cupy.ndarray over a NumPy array; views share its memory."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, a: Any) -> None:
        self._a = np.asarray(a)

    # what needs no values

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: self._a.flags)
    T = property(lambda self: ndarray(self._a.T))
    real = property(lambda self: ndarray(self._a.real))
    imag = property(lambda self: ndarray(self._a.imag))
    data = property(lambda self: types.SimpleNamespace(ptr=self._a.ctypes.data))

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator["ndarray"]:
        return (ndarray(a) for a in self._a)

    # what the host has to wait for

    def get(self, **_: Any) -> np.ndarray:
        _record(synchronisations, "get()")
        return self._a.copy()

    def item(self, *args: Any) -> Any:
        _record(synchronisations, "item()")
        return self._a.item(*args)

    def tolist(self) -> Any:
        _record(synchronisations, "tolist()")
        return self._a.tolist()

    def _value(self, kind: Any) -> Any:
        _record(synchronisations, f"{kind.__name__}()")
        return kind(self._a)

    def __float__(self) -> float:
        return self._value(float)

    def __int__(self) -> int:
        return self._value(int)

    def __bool__(self) -> bool:
        return self._value(bool)

    def __complex__(self) -> complex:
        return self._value(complex)

    def __index__(self) -> int:
        _record(synchronisations, "index")
        return self._a.__index__()

    def __repr__(self) -> str:
        return self._value(repr)

    def __str__(self) -> str:
        return self._value(str)

    def __format__(self, spec: str) -> str:
        _record(synchronisations, "format()")
        return format(self._a, spec)

    # what is refused

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} is given an array of the device: use the function of its module")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or any(isinstance(x, np.ndarray) for x in inputs):
            raise TypeError(f"Unsupported type <class 'numpy.ndarray'> beside an array of the device in {ufunc}")
        if not any(isinstance(x, np.generic) for x in inputs):  # an operator of a NumPy scalar also comes here
            raise TypeError(f"numpy.{ufunc.__name__} is given an array of the device: use the function of its module")
        return call(ufunc, inputs, kwargs, elementwise=True)

    # elements

    def _key(self, key: Any) -> Any:
        for k in key if isinstance(key, tuple) else (key,):
            if isinstance(k, ndarray) and k.dtype == bool:
                _record(synchronisations, "a boolean mask as index")
        return self._wrapped(unwrap(key))

    def _wrapped(self, key: Any) -> Any:
        """The key with arrays of indices modulo the size of their axis, as in CuPy."""
        keys = key if isinstance(key, tuple) else (key,)
        if any(k is None or k is Ellipsis or (isinstance(k, np.ndarray) and k.dtype.kind == "b") for k in keys):
            return key
        wrapped = tuple(
            k % size if isinstance(k, np.ndarray) and k.dtype.kind in "iu" else k
            for k, size in zip(keys, self._a.shape)
        )
        return wrapped if isinstance(key, tuple) else wrapped[0] if wrapped else key

    def __getitem__(self, key: Any) -> "ndarray":
        return ndarray(self._a[self._key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        _computes()
        masked = isinstance(key, ndarray) and key.dtype == bool  # CuPy writes through a mask without counting it
        self._a[unwrap(key) if masked else self._key(key)] = unwrap(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in MISSING_METHODS:
            raise AttributeError(f"'cupy.ndarray' object has no attribute '{name}'")
        method = getattr(self._a, name)
        if not callable(method):
            raise AttributeError(f"the fake has no attribute '{name}' yet")

        def bound(*args: Any, **kwargs: Any) -> Any:
            if NO_KEYWORDS & set(kwargs):
                raise TypeError(f"{name}() got an unexpected keyword argument")
            if name in WAITS:
                _record(synchronisations, f"{name}()")
            return call(method, args, kwargs)

        return bound


def _operator(name: str) -> Any:
    def method(self: ndarray, *others: Any) -> Any:
        _computes()
        if any(isinstance(other, (list, tuple)) for other in others):
            raise TypeError("Unsupported type <class 'list'>")
        result = getattr(self._a, name)(*map(unwrap, others))
        if name.startswith("__i") and name != "__invert__":
            return self
        return result if result is NotImplemented else ndarray(np.ascontiguousarray(result).reshape(np.shape(result)))

    return method


for _name in words("add sub mul truediv floordiv mod pow and or xor lshift rshift matmul"):
    for _prefix in ("", "r", "i"):
        setattr(ndarray, f"__{_prefix}{_name}__", _operator(f"__{_prefix}{_name}__"))
for _name in words("neg pos abs invert lt le eq ne gt ge"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


class _Ufunc:
    """A ufunc: arrays of the device and scalars, no lists."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc, self.__name__ = ufunc, ufunc.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not set(kwargs) <= {"out", "dtype", "casting"}:
            raise TypeError(f"Wrong arguments {kwargs}")
        if any(isinstance(a, (list, tuple)) for a in args):
            raise TypeError("Unsupported type <class 'list'>")
        return call(self._ufunc, args, kwargs, elementwise=True)

    def at(self, a: ndarray, *args: Any) -> None:
        self._ufunc.at(a._a, *map(unwrap, args))

    def reduce(self, *args: Any, **kwargs: Any) -> Any:
        return call(self._ufunc.reduce, args, kwargs)


def _function(name: str, function: Any) -> Any:
    def bound(*args: Any, **kwargs: Any) -> Any:
        if name in COPIES_TO_DEVICE:
            if not isinstance(args[0], ndarray):
                _record(transfers, f"{name}()")
                return ndarray(np.array(function(*args, **kwargs)))  # a copy, as on a device
            return ndarray(function(args[0]._a, *args[1:], **kwargs))
        if NO_KEYWORDS & set(kwargs) and name != "copyto":
            raise TypeError(f"{name}() got an unexpected keyword argument")
        if name in WAITS or (name == "where" and len(args) == 1):
            _record(synchronisations, f"{name}()")
        return call(function, args, kwargs)

    bound.__name__ = name
    return bound


class _Module(types.ModuleType):
    """The module `cupy`, or one of its submodules, over NumPy's module of the same
    name.
    """

    def __init__(self, name: str, source: types.ModuleType) -> None:
        super().__init__(name)
        self._source = source

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in MISSING or name == "cublas":  # which `import cupy` does not bring
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        value = getattr(self._source, name)
        if isinstance(value, types.ModuleType):
            return _Module(f"{self.__name__}.{name}", value)
        if isinstance(value, np.ufunc):
            return _Ufunc(value)
        return value if isinstance(value, type) or not callable(value) else _function(name, value)


def _gemm(transa: str, transb: str, a: ndarray, b: ndarray, out: ndarray | None = None, alpha: float = 1.0,
          beta: float = 0.0) -> ndarray:  # fmt: skip
    _computes()
    assert out is not None and a.dtype == b.dtype == out.dtype and a.ndim == b.ndim == out.ndim == 2
    A, B = (x._a if trans == "N" else x._a.T for x, trans in ((a, transa), (b, transb)))
    assert A.shape[1] == B.shape[0] and out.shape == (A.shape[0], B.shape[1])
    out._a[...] = alpha * (A @ B) + beta * out._a
    return out


def _ger(alpha: float, x: ndarray, y: ndarray, a: ndarray) -> None:
    _computes()
    assert a.ndim == 2 and x.ndim == y.ndim == 1 and a.dtype == x.dtype == y.dtype and a.shape == (x.size, y.size)
    for vector in (x, y):  # CuPy passes the pointer and an increment of 1, whatever the stride is
        assert vector.size <= 1 or vector.strides == (vector.itemsize,), "cublas.ger reads a strided vector wrongly"
    a._a[...] += alpha * np.outer(x._a, y._a)


# --------------------------------------------------------------- raw kernels and graphs

Launch = tuple[Any, int, int, list[int], list[Any]]  # kernel, blocks, threads, arguments, references to the arrays


class Stream:
    """A stream; it computes at once, and while it is captured not at all."""

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.null = null
        self.captured: list[Launch] | None = None

    def __enter__(self) -> "Stream":
        _streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _streams.pop()

    def begin_capture(self, mode: int | None = None) -> None:
        assert not self.null and self.captured is None, "the default stream cannot be captured, nor one twice"
        self.captured = []

    def end_capture(self) -> "Graph":
        assert self.captured is not None
        graph, self.captured = Graph(self.captured), None
        return graph

    def synchronize(self) -> None:
        _record(synchronisations, "synchronize()")


_streams = [Stream(null=True)]


def current_stream() -> Stream:
    return _streams[-1]


class Graph:
    """What was launched on a stream while it was captured."""

    def __init__(self, launches: list[Launch]) -> None:
        self.launches, self.replays = launches, 0
        graphs.append(self)

    def launch(self, stream: Stream | None = None) -> None:
        _computes()
        self.replays += 1
        for launch in self.launches:
            _run(launch)


graphs: list[Graph] = []  # all that were recorded
eager_launches: list[str] = []  # the names of the kernels that were launched by themselves


def _run(launch: Launch) -> None:
    kernel, blocks, threads, args, arrays = launch
    assert all(array() is not None for array in arrays), f"{kernel.name}: an array that was recorded is gone"
    kernel.library.launch(kernel.name, blocks, threads, args)


class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        assert isinstance(options, tuple)
        self.library = Emulation(code, options)

    def get_function(self, name: str) -> "RawKernel":
        return RawKernel(self.library, name)


class RawKernel:
    def __init__(self, library: Emulation, name: str) -> None:
        self.library, self.name = library, name
        self.loaded = False

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        (blocks,), (threads,) = grid, block
        assert 1 <= blocks < 2**31 and 1 <= threads <= 1024
        values, arrays = [], []
        for a in args:
            if isinstance(a, ndarray):
                assert a.flags.c_contiguous, f"{self.name} does not know of strides"
                values.append(a.data.ptr)
                arrays.append(weakref.ref(_owner(a._a)))
            else:
                assert type(a) is int, f"{self.name} is given {a!r}"
                values.append(a)
        launch = self, blocks, threads, values, arrays
        captured = current_stream().captured
        if captured is None:
            self.loaded = True
            eager_launches.append(self.name)
            _run(launch)
        else:
            assert self.loaded, f"{self.name} would be loaded while a stream is captured"
            captured.append(launch)


def _owner(a: np.ndarray) -> np.ndarray:
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


ndarray.__module__ = "cupy"
module: Any = _Module("cupy", np)
module.ndarray = ndarray
module.fuse = lambda function: function
module.asnumpy = lambda x: x.get()
# one without cooperative launches
device = types.SimpleNamespace(attributes={"CooperativeLaunch": 0, "MultiProcessorCount": 4})
module.cuda = types.SimpleNamespace(
    is_available=lambda: True, Stream=Stream, get_current_stream=current_stream, Device=lambda: device
)
module.RawModule = RawModule
cublas: Any = types.ModuleType("cupy.cublas")
cublas.gemm, cublas.ger = _gemm, _ger


@contextlib.contextmanager
def watch() -> Iterator[tuple[list[str], list[str]]]:
    """(synchronisations, transfers) of a block, as lists of lines."""
    found: tuple[list[str], list[str]] = ([], [])
    before = len(synchronisations), len(transfers)
    yield found
    found[0].extend(synchronisations[before[0] :])
    found[1].extend(transfers[before[1] :])


def install(monkeypatch: Any) -> Any:
    """Put the fake in CuPy's place until `monkeypatch` undoes it.

    Returns the module.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupy.cublas", cublas)
    for kept in (synchronisations, transfers, graphs, eager_launches):
        kept.clear()
    return module
