"""Texts and bytes as Arrow's views of buffers: how C takes them, and how they become columns. No byte is copied."""

import ctypes
from typing import Any

import numpy as np
import polars as pl

VIEW = np.dtype("V16")
NUMBER, POINTER = ctypes.c_int64, ctypes.c_void_p


class Block(ctypes.Structure):
    _fields_ = (
        ("rows", POINTER),
        ("height", NUMBER),
        ("buffers", POINTER),
        ("sizes", POINTER),
        ("count", NUMBER),
    )


class Texts:
    """Texts or bytes as C takes them; what `block` leads to is there as long as this is."""

    def __init__(self, values: pl.Series) -> None:
        self._arrow = values.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        _, views, *self.buffers = self._arrow.buffers()
        self._addresses = np.array([buffer.address for buffer in self.buffers], np.uint64)
        self.sizes = np.array([buffer.size for buffer in self.buffers], np.int64)
        first = views.address + VIEW.itemsize * self._arrow.offset
        places = (self._addresses.ctypes.data, self.sizes.ctypes.data)
        self.block = Block(first, len(self._arrow), *places, len(self.buffers))


class _Exported:
    """An array by the interface of Arrow alone: of pyarrow's own, polars would import pyarrow.compute, for 50 ms."""

    def __init__(self, array: Any) -> None:
        self.__arrow_c_array__ = array.__arrow_c_array__


def series(array: Any) -> pl.Series:
    """A column of an array of pyarrow's."""
    return pl.Series(values=_Exported(array))
