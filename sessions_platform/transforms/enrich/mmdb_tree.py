"""Look up many IPv4 addresses at once in the search tree of a MaxMind DB.

The tree stands at the beginning of the file: nodes of two numbers each, by a bit of the address 0 or 1. A number below
that of nodes is the next node; any other says which record the address has, or that it has none. In a database of IPv6,
IPv4 is what comes after 96 bits of 0. The format: https://maxmind.github.io/MaxMind-DB/.

Not here: what a record says, which is read by the library's reader (``geo``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 32
_BITS_BEFORE_IPV4 = 96


class Ipv4Tree:
    """The tree of a database.

    Args:
        content: of the file.
        metadata: of it, as `maxminddb` reads it.
    """

    def __init__(self, content: bytes, metadata: Any) -> None:
        self._nodes: int = metadata.node_count
        self._bits: int = metadata.record_size
        # Both numbers of each node, with bits of what stands beside them.
        strides = (self._bits // 4, self._bits // 8)
        self._tree = np.ndarray((self._nodes, 2), ">u4", content, strides=strides)
        before = np.zeros((_BITS_BEFORE_IPV4, 1), np.uint32)
        self._start = 0 if metadata.ip_version == 4 else int(self._walked(0, before)[0])

    def records(self, addresses: NDArray[np.uint32]) -> NDArray[np.int64]:
        """A number for each address; those of the same number have the same record, or none."""
        shifts = np.arange(_BITS - 1, -1, -1, dtype=np.uint32)[:, None]
        return self._walked(self._start, (addresses >> shifts) & np.uint32(1))

    def _walked(self, start: int, bits: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Where addresses end that begin at a node. `bits` has a row for each step, with the bit of each address."""
        at = np.full(bits.shape[1], start, np.int64)
        inner = np.arange(len(at))
        for step in bits:
            inner = inner[at[inner] < self._nodes]
            at[inner] = self._children(at[inner], step[inner])
        return at

    def _children(self, nodes: NDArray[np.int64], sides: NDArray[np.uint32]) -> NDArray[np.int64]:
        read = self._tree[nodes, sides].astype(np.int64)
        if self._bits == _BITS:
            return read
        if self._bits == 24:
            return read >> 8
        # Of 28 bits: the upper four of both share the byte between them.
        return np.where(sides, read & 0xFFFFFFF, read >> 8 | (read & 0xF0) << 20)
