"""Which raw rows name a user: by the column user_id, or in the text of the payload.

Here: how rows are recognized, in whole blocks, and the marker that takes the place of an erased row in a landing file.
A row belongs to a user where its user_id is the user's; it only *mentions* the user where the id is a word of its
payload. Not here: which rows are erased for that (``operations.erase_rows``), and the keyed hashes by which users are
recognized once their ids are forgotten (``pipeline.tombstones``).
"""

import json
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from enum import StrEnum

import polars as pl

from sessions_platform.contracts.columns import Column
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.cast import cast_expr
from sessions_platform.transforms.parse.decoding import Decoder
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.pseudonymize import stored_users

# Bytes that continue a word: an id is not named by a longer one that contains it.
_WORD = rb"[0-9A-Za-z_\x80-\xff]"


class Naming(StrEnum):
    """How a row names a user: as whose it is, in a row of nobody (malformed, without a user), or in another's row."""

    owner = "owner"
    text = "text"
    mention = "mention"


NAMED: dict[str, pl.DataType] = {
    "source_uri": pl.String(),
    "position": pl.Int64(),
    "payload": pl.Binary(),
    "naming": pl.String(),
}


class UserPattern:
    """Users as they may be written in payloads and texts.

    Attributes:
        users: their ids as they came.
        stored: also their pseudonyms, where the stream pseudonymizes user_id, as events and sessions have them.
        texts: both, in all spellings.
    """

    def __init__(self, users: Collection[str], stream: Stream) -> None:
        self.users = frozenset(users)
        self.stored = self.users | stored_users(self.users, stream)  # in clear, too, from before
        names = self.stored
        self.texts = frozenset(form.decode() for name in names for form in _forms(name, "utf-8"))
        self._stream = stream
        forms = {form for name in names for form in _forms(name, stream.source.encoding)}
        # The longest first, so that an id which begins with another one is found as a whole.
        words = b"|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        self._words = re.compile(rb"(?<!%b)(?:%b)(?!%b)" % (_WORD, words, _WORD))
        column = stream.columns["user_id"]
        self._parts = {max(form.split(b" "), key=len) if column.join else form for form in forms}
        written = stream.source
        self._respelling = [
            text.encode(written.encoding) for text in ("\\", written.escape, '""', 2 * (written.quote or "")) if text
        ]
        # Nested text may be a list of bytes, or have escapes of its own.
        self._is_any_row = _is_respelled(column) or written.has_nested_text or b"" in self._parts
        self._decoder = Decoder(column.decode) if column.decode else None

    def named_in(self, text: bytes) -> bool:
        """Whether an id is a word of the text, as it is or by the escapes that the column decodes."""
        is_word = self._words.search(text) is not None
        return is_word or bool(self._decoder and self._words.search(self._decoder.unescaped(text)))

    def rows_naming(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The rows of a block that name a user.

        Args:
            raw: the columns RAW_EVENTS.

        Returns:
            The columns ``NAMED``, in the order of the block; `naming` is a ``Naming``.
        """
        rows = raw.filter(self._may_name(raw["payload"]))
        if rows.is_empty():
            return pl.DataFrame(schema=NAMED)
        in_text = pl.Series([self.named_in(payload) for payload in rows["payload"]], dtype=pl.Boolean)
        ids = user_ids(rows, self._stream)
        naming = (
            pl.when(ids.is_in(list(self.users)).fill_null(value=False))
            .then(pl.lit(Naming.owner.value))
            .when(in_text & ids.is_null() & rows["corrupt_reason"].is_null())
            .then(pl.lit(Naming.text.value))
            .when(in_text)
            .then(pl.lit(Naming.mention.value))
        )
        return rows.select("source_uri", "position", "payload", naming=naming).filter(pl.col("naming").is_not_null())

    def _may_name(self, payloads: pl.Series) -> pl.Series:
        """A quick test that misses no row: ids are literal or with escapes, unless the column respells them."""
        if self._is_any_row:
            return pl.Series([True], dtype=pl.Boolean).new_from_index(0, len(payloads))
        wanted = [*sorted(self._parts), *self._respelling]
        column = pl.col(payloads.name)
        return payloads.to_frame().select(pl.any_horizontal(column.bin.contains(part) for part in wanted)).to_series()


def user_ids(raw: pl.DataFrame, stream: Stream) -> pl.Series:
    """The user_id of each raw row (String), in order; null where a row has none, or can't be parsed."""
    column = stream.columns["user_id"]
    parsed = parse(raw, stream.model_copy(update={"columns": {"user_id": column}, "extra_columns": "drop"}))
    return parsed.select(cast_expr("user_id", column)).to_series()


def _forms(user: str, encoding: str) -> Iterable[bytes]:
    escaped = {json.dumps(user)[1:-1], json.dumps(user, ensure_ascii=False)[1:-1], user}
    escaped |= {json.dumps(form)[1:-1] for form in escaped}  # within a text that is itself within JSON
    for form in escaped:
        for code in {"utf-8", encoding}:
            with suppress(UnicodeEncodeError):
                yield form.encode(code)


def _is_respelled(column: Column) -> bool:
    """Whether a payload may have an id in other letters than the column, or only its envelope has it."""
    from_envelope = len(column.fields("user_id")) < len(column.paths("user_id"))
    spelled = [column.number, column.bytes, column.decode, column.split, column.extract, column.case, column.unicode]
    return from_envelope or any(spelled)


# Markers -------------------------------------------------------------------------------------------------

_MARKER = "sessions_platform/erased/"
_IN_JSON = b'{"erased":"%b"}'
MARKER = re.compile(rb'(?:\{"erased":")?sessions_platform/erased/([0-9a-f]{16})-([0-9a-f]{16})(?:"\})?')
LONGEST_MARKER = 96
_NO_VALUES = r'^\{\s*("(?:[^"\\]|\\.)*":\s*null\s*,?\s*)*\}$'


def marker(nonce: str, proof: str, file_format: str) -> bytes:
    """What takes the place of an erased row in a landing file: a record that the format can split and decode.

    Args:
        nonce: 16 hex digits, another one in each row.
        proof: 16 hex digits by which a marker of the platform's own is recognized.
        file_format: of the landing file; WITHIN_TEXT where rows are within a text, which a quote would end.
    """
    text = f"{_MARKER}{nonce}-{proof}".encode()
    return _IN_JSON % text if file_format in ("ndjson", "json") else text


def has_only_nulls(payload: pl.Series) -> pl.Series:
    """Whether each payload (Binary) is a record without values, as an erasure leaves of a row of Parquet."""
    return payload.cast(pl.String, strict=False).str.contains(_NO_VALUES).fill_null(value=False)


def may_be_marker(payload: pl.Expr) -> pl.Expr:
    """Whether payloads (Binary) may be markers; ``MARKER`` decides."""
    return (payload.bin.size() <= LONGEST_MARKER) & payload.bin.contains(_MARKER.encode())
