"""Rows that must not land again: those of erased users, recognized by keyed hashes.

Here: which rows of a reading are left out, and the tombstones that an erasure adds. A row that is left out leaves a gap
in the positions, so that all other rows keep theirs. Not here: the erasure of what landed before
(``operations.erase``), how a user_id is read from a payload (``transforms.erasure``), and where tombstones are stored
(``storage.ledger.erasures``).
"""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.base import Quarantine
from sessions_platform.storage.erasure_key import keyed_hash
from sessions_platform.storage.ledger.ledger import Tombstone
from sessions_platform.transforms.erasure import MARKER, marker, may_be_marker, user_ids

_USER, _PAYLOAD, _FILE = "user", "payload", "file"
_MARKER_DIGITS = 16


@dataclass(frozen=True)
class Tombstones:
    """The tombstones of a stream; without any, nothing is looked at and nothing is left out.

    Attributes:
        stream: whose rows are read.
        key: of the hashes; empty where there are none.
        count: how many tombstones there are.
    """

    stream: Stream
    key: bytes = field(default=b"", repr=False)
    count: int = 0
    users: frozenset[str] = frozenset()
    payloads: dict[int, set[str]] = field(default_factory=dict)  # by their size in bytes
    files: frozenset[str] = frozenset()

    def kept(self, blocks: Iterator[pl.DataFrame], count: Callable[[int], None]) -> Iterator[pl.DataFrame]:
        """The rows of blocks (RAW_EVENTS) but for those that are refused, whose number is passed on, and markers."""
        for block in blocks:
            if not self.count:
                yield block
                continue
            is_refused = self.refuses(block)
            count(int(is_refused.sum()))
            yield block.filter(~(is_refused | self.is_marker(block)))

    def refuses(self, raw: pl.DataFrame) -> pl.Series:
        """Whether each row (RAW_EVENTS) is of an erased user, or was erased because it named one otherwise."""
        ids = user_ids(raw, self.stream)
        erased = [user for user in ids.unique().drop_nulls() if self.hash_of_user(user) in self.users]
        is_refused = ids.is_in(erased).fill_null(value=False)
        payloads = raw["payload"]
        of_known_size = payloads.bin.size().is_in(list(self.payloads))
        return is_refused | _where(of_known_size, payloads, self._is_erased)

    def is_marker(self, raw: pl.DataFrame) -> pl.Series:
        """Whether each row (RAW_EVENTS) is a marker that an erasure with this key has made."""
        suspects = raw.select(may_be_marker(pl.col("payload"))).to_series()
        return _where(suspects, raw["payload"], self._is_own_marker)

    def quarantine(self, quarantine: Quarantine, remove: Callable[[str], None]) -> Quarantine:
        """The same, except that a file that was erased is removed again; its row keeps the path."""
        if not self.files:
            return quarantine

        def unless_erased(chunks: Iterable[bytes]) -> str:
            path = quarantine(chunks)
            if self.has_file(path.rpartition("/")[2]):
                remove(path)
            return path

        return unless_erased

    def has_file(self, digest: str) -> bool:
        """Whether a file of this digest was erased."""
        return bool(self.files) and self.hash_of_file(digest) in self.files

    def hash_of_user(self, user: str) -> str:
        """The keyed hash of a user's id."""
        return keyed_hash(self.key, _USER.encode(), self.stream.name.encode(), user.encode())

    def hash_of_file(self, digest: str) -> str:
        """The keyed hash of a file's digest."""
        return keyed_hash(self.key, _FILE.encode(), self.stream.name.encode(), digest.encode())

    def hash_of_payload(self, payload: bytes) -> str:
        """The keyed hash of a payload."""
        digest = hashlib.sha256(payload).digest()
        return keyed_hash(self.key, _PAYLOAD.encode(), self.stream.name.encode(), digest)

    def of_users(self, users: Iterable[str]) -> list[Tombstone]:
        """The tombstones of users."""
        return [Tombstone(_USER, self.hash_of_user(user), None, key_check(self.key)) for user in users]

    def of_payloads(self, payloads: Iterable[bytes]) -> list[Tombstone]:
        """The tombstones of rows that name a user elsewhere than in user_id, by which they could be recognized."""
        check = key_check(self.key)
        hashes = {self.hash_of_payload(payload): len(payload) for payload in payloads}
        return [Tombstone(_PAYLOAD, hash_, size, check) for hash_, size in hashes.items()]

    def of_file(self, digest: str) -> Tombstone:
        """The tombstone of a file that can't be read."""
        return Tombstone(_FILE, self.hash_of_file(digest), None, key_check(self.key))

    def marker(self, file_digest: str, position: int, file_format: str) -> bytes:
        """The marker of a row; the same row of the same file always has the same one, and no two rows do."""
        nonce = keyed_hash(self.key, b"nonce", file_digest.encode(), str(position).encode())[:_MARKER_DIGITS]
        return marker(nonce, self._proof(nonce), file_format)

    def _is_own_marker(self, payload: bytes) -> bool:
        found = MARKER.fullmatch(payload)
        return found is not None and hmac.compare_digest(self._proof(found[1].decode()), found[2].decode())

    def _is_erased(self, payload: bytes) -> bool:
        return self.hash_of_payload(payload) in self.payloads[len(payload)]

    def _proof(self, nonce: str) -> str:
        return keyed_hash(self.key, b"marker", nonce.encode())[:_MARKER_DIGITS]


def read_tombstones(context: StreamContext) -> Tombstones:
    """The stream's tombstones.

    Raises:
        UserError: there are tombstones, and not the key of their hashes.
    """
    stored = context.ledger.tombstones()
    return tombstones_of(context, stored, context.erasure_key.read()) if stored else Tombstones(context.stream)


def tombstones_of(context: StreamContext, stored: Sequence[Tombstone], key: bytes) -> Tombstones:
    """Stored tombstones together with their key. Raises UserError where it is not their key."""
    if any(tombstone.key_check != key_check(key) for tombstone in stored):
        raise UserError(
            f"{context.stream.name}: users were erased with another key than the present one, so that they would not "
            "be recognized. Fix: restore erasure.key in the home folder, or set SESSIONS_ERASURE_KEY to the old key."
        )
    payloads: defaultdict[int, set[str]] = defaultdict(set)
    for tombstone in stored:
        if tombstone.kind == _PAYLOAD:
            payloads[tombstone.payload_bytes or 0].add(tombstone.keyed_hash)
    of_kind = {kind: frozenset(t.keyed_hash for t in stored if t.kind == kind) for kind in (_USER, _FILE)}
    return Tombstones(context.stream, key, len(stored), of_kind[_USER], dict(payloads), of_kind[_FILE])


def _where(suspects: pl.Series, payloads: pl.Series, test: Callable[[bytes], bool]) -> pl.Series:
    """Whether each payload passes the test, which is asked of suspects alone."""
    passed = [index for index in suspects.arg_true() if test(payloads[index])]
    return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(payloads)).scatter(passed, True)


def key_check(key: bytes) -> str:
    """By which a key is recognized, and not found."""
    return keyed_hash(key, b"check")[:_MARKER_DIGITS]
