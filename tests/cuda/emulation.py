"""The text of CUDA kernels compiled with g++ and run on the CPU: see on_cpu.h."""

import ctypes

import pytest

from tests.cuda import compiling

PLAIN, IN_TURN, TOGETHER = range(3)


class _Kernel(ctypes.Structure):
    """`Kernel` of running.h."""

    _fields_ = [
        ("call", ctypes.c_void_p),
        ("count", ctypes.c_int),
        ("sizes", ctypes.POINTER(ctypes.c_size_t)),
        ("kinds", ctypes.c_char_p),
        ("shared", ctypes.c_void_p),
    ]  # fmt: skip


class Emulation:
    """The kernels of a text, for arguments that are addresses and whole numbers."""

    def __init__(self, code: str, options: tuple[str, ...] = ()) -> None:
        why = compiling.problem()
        if why is not None:
            pytest.skip(why)
        self.runner = compiling.runner()
        flags = [*compiling.STRICT, "-fvisibility=hidden", "-shared"]
        header = compiling.HERE / "on_cpu.h"
        path = compiling.build("kernels.so", *flags, *options, "-include", header, text=compiling.for_the_cpu(code))
        self.library = ctypes.CDLL(str(path))

    def launch(self, name: str, blocks: int, threads: int, args: list[int], backwards: bool = False) -> None:
        kernel = _Kernel.in_dll(self.library, f"kernel_{name}")
        # more or fewer would be read from whatever lies in memory
        assert len(args) == kernel.count, f"{name} takes {kernel.count} arguments, but is given {len(args)}"
        assert all(kernel.sizes[i] == 8 for i in range(len(args))), f"{name}: Python's numbers are given as 8 bytes"
        values = (ctypes.c_longlong * len(args))(*args)
        addresses = (ctypes.c_void_p * len(args))(*(ctypes.addressof(values) + 8 * i for i in range(len(args))))
        dims = (ctypes.c_uint * 6)(blocks, 1, 1, threads, 1, 1)
        wrong = self.runner.on_cpu_launch(ctypes.byref(kernel), addresses, dims, IN_TURN, -int(backwards))
        assert wrong is None, f"{name}: {wrong.decode()}"
