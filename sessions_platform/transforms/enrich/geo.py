"""The country of an IP address, by a MaxMind DB of the user's own.

Spellings that logs have are read: white space around an address, a port after it (``192.0.2.1:443``,
``[2001:db8::1]:443``), a zone (``fe80::1%eth0``), and IPv4 within IPv6, mapped (``::ffff:192.0.2.1``, RFC 4291 section
2.5.5.2) or translated (``64:ff9b::192.0.2.1``, RFC 6052). Any other text is no address, and has no country: also one
with leading zeros or fewer than four numbers, which programs read in different ways. So has an address that the
database lacks, as those of private networks.
"""

import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import maxminddb
import numpy as np
import polars as pl

from sessions_platform.contracts.data_files import content_of
from sessions_platform.contracts.geo import Geo
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.mmdb_tree import Ipv4Tree

_IPV4_WITHIN = (bytes(10) + b"\xff\xff", bytes.fromhex("0064ff9b") + bytes(8))
_NUMBER = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN_IPV4 = rf"\A(?:{_NUMBER}\.){{3}}{_NUMBER}\z"
_LETTERS = 2  # of a country's code, ISO 3166-1 alpha-2


def countries(config: Geo, scratch: Path | None = None) -> Values:
    """Adds country, as two letters; the database is read from a copy in the folder `scratch`.

    Raises UnusableFileError where the database is another than when the stream's file was read.
    """
    content = content_of(config.path, config.digest)
    reader = opened(content, scratch)
    is_of_ipv4 = reader.metadata().ip_version == 4
    tree = Ipv4Tree(content, reader.metadata())

    def country_of(text: str | None) -> str | None:
        address = address_of(text or "")
        return None if address is None or (is_of_ipv4 and ":" in address) else _code(reader.get(address))

    def of_plain(addresses: pl.Series) -> pl.Series:
        """Of IPv4 addresses without anything besides, which nearly all are; each record is read once."""
        packed = b"".join(map(socket.inet_aton, addresses.to_list()))
        records = tree.records(np.frombuffer(packed, ">u4").astype(np.uint32))
        _, first, places = np.unique(records, return_index=True, return_inverse=True)
        return _codes(map(country_of, addresses.gather(first))).gather(places)

    def of_all(texts: pl.Series) -> pl.DataFrame:
        is_plain = texts.str.contains(_PLAIN_IPV4).fill_null(value=False)
        found = of_plain(texts.filter(is_plain)).append(_codes(map(country_of, texts.filter(~is_plain))))
        rows = is_plain.arg_true().append((~is_plain).arg_true())
        return found.gather(rows.arg_sort()).to_frame("country")

    return lambda texts: of_all(texts.to_series())


def _codes(codes: Iterable[str | None]) -> pl.Series:
    return pl.Series(list(codes), dtype=pl.String)


def opened(content: bytes, scratch: Path | None = None) -> Any:
    """A reader of a database: in C where it is installed, which reads files alone; it is many times as fast."""
    with tempfile.NamedTemporaryFile(suffix=".mmdb", dir=scratch) as file:
        file.write(content)
        file.flush()
        return maxminddb.open_database(file.name)  # which maps the file, or reads it: it is not needed afterwards


def address_of(text: str) -> str | None:
    """An address in its usual spelling, IPv4 also of one within IPv6; None for what is none."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    if ":" not in bare:
        packed = _packed(socket.AF_INET, bare)
        return bare if packed else None
    packed = _packed(socket.AF_INET6, bare.partition("%")[0])
    if packed is None:
        return None
    if packed[:12] in _IPV4_WITHIN:
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _packed(family: int, text: str) -> bytes | None:
    try:
        return socket.inet_pton(family, text)
    except (OSError, ValueError):  # not an address, or with a character that none can have
        return None


def _code(record: Any) -> str | None:
    """Of the records that databases have: {country: {iso_code}}, {country_code}, {country}."""
    if not isinstance(record, dict):
        return None
    country = record.get("country", record.get("country_code"))
    code = country.get("iso_code") if isinstance(country, dict) else country
    return code.upper() if isinstance(code, str) and len(code) == _LETTERS else None
