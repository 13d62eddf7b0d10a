"""How the values of a column are replaced before they are stored, as the key `pseudonymize` of a stream's file states.

Here: the two methods for one value, and the key of the first. Not here: the columns of a frame
(``transforms.pseudonymize``), and where the key comes from (``settings``).
"""

import hmac
import ipaddress
from enum import StrEnum
from functools import lru_cache

LEAST_KEY_CHARACTERS = 16
PSEUDONYM = r"^[0-9a-f]{64}$"

_IPV4_BITS, _IPV6_BITS = 24, 48
_ADDRESSES_CACHED = 1 << 16
_FINGERPRINT = b"sessions_platform/fingerprint"
_FINGERPRINT_DIGITS = 16


class Pseudonym(StrEnum):
    """How a value is replaced: by a keyed hash, or by the network of an IP address."""

    hmac = "hmac"
    truncate_ip = "truncate_ip"


def keyed_pseudonym(key: str, value: str) -> str:
    """HMAC-SHA256 of the value's UTF-8, as 64 hexadecimal digits; in PostgreSQL's pgcrypto hmac(value, key, 'sha256').

    It is the same in all streams of one key, so that a user can be followed from one to another.
    """
    return hmac.digest(key.encode(), value.encode(), "sha256").hex()


def key_fingerprint(key: str) -> str:
    """By which a changed key is noticed; the key can't be found by it."""
    return hmac.digest(key.encode(), _FINGERPRINT, "sha256").hex()[:_FINGERPRINT_DIGITS]


@lru_cache(_ADDRESSES_CACHED)
def truncated_address(text: str) -> str | None:
    """The network of an IP address: the first 24 bits of IPv4, the first 48 of IPv6, all others zero.

    An IPv4 address within IPv6 (``::ffff:192.0.2.7``) is taken for what it is. None for a text that is no address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    bits = _IPV4_BITS if address.version == 4 else _IPV6_BITS
    zeros = address.max_prefixlen - bits
    return str(type(address)(int(address) >> zeros << zeros))
