"""Records of many addresses are those that the library's reader finds one by one."""

import ipaddress
import tempfile
from pathlib import Path
from types import SimpleNamespace

import mmdb_writer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sessions_platform.transforms.enrich.geo import opened
from sessions_platform.transforms.enrich.mmdb_tree import Ipv4Tree

# Of few different bytes, so that addresses are within networks, or just outside of them.
_ADDRESSES = st.lists(st.sampled_from([0, 1, 127, 128, 255]), min_size=4, max_size=4).map(
    lambda four: ".".join(map(str, four))
)
_NETWORKS = st.dictionaries(st.tuples(_ADDRESSES, st.integers(1, 32)), st.sampled_from(["DE", "FR", "JP"]), max_size=6)


def _database(networks: dict[tuple[str, int], str], version: int, record_size: int) -> bytes:
    writer = MMDBWriter(ip_version=version, ipv4_compatible=version == 6)
    for (address, length), country in networks.items():
        writer.insert_network(IPSet([f"{address}/{length}"]), {"country": country})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            mmdb_writer.TreeWriter,
            "_adjust_record_size",
            lambda tree: setattr(tree, "record_size", record_size),
        )
        writer.to_db_file(f"{folder}/countries.mmdb")
        return Path(folder, "countries.mmdb").read_bytes()


@settings(max_examples=30)
@given(
    networks=_NETWORKS,
    version=st.sampled_from([4, 6]),
    record_size=st.sampled_from([24, 28, 32]),
    addresses=st.lists(_ADDRESSES, min_size=1, max_size=20),
)
def test_addresses_of_one_number_have_one_record(
    networks: dict[tuple[str, int], str], version: int, record_size: int, addresses: list[str]
) -> None:
    content = _database(networks, version, record_size)
    reader = opened(content)
    assert reader.metadata().record_size == record_size
    addresses += [address for address, _ in networks]
    numbers = Ipv4Tree(content, reader.metadata()).records(
        np.array([int(ipaddress.IPv4Address(address)) for address in addresses], np.uint32)
    )
    records = dict(zip(numbers.tolist(), map(reader.get, addresses), strict=True))
    assert [records[number] for number in numbers.tolist()] == list(map(reader.get, addresses))


@pytest.mark.parametrize(
    ("record_size", "node", "left", "right"),
    [
        (24, "abcdef 123456", 0xABCDEF, 0x123456),
        (28, "abcdef 98 123456", 0x9ABCDEF, 0x8123456),
        (32, "89abcdef 01234567", 0x89ABCDEF, 0x01234567),
    ],
)
def test_the_numbers_of_a_node_are_read_as_the_format_has_them(
    record_size: int, node: str, left: int, right: int
) -> None:
    tree = Ipv4Tree(
        bytes.fromhex(node) + bytes(16), SimpleNamespace(node_count=1, record_size=record_size, ip_version=4)
    )
    assert tree.records(np.array([0, 1 << 31], np.uint32)).tolist() == [left, right]
