"""The secret key of the keyed hashes by which erased users are recognized.

Here: where the key is, how it is made when the first user is erased, and the hash itself. It comes from the environment
(``settings``), else from a file in the platform's home that only its owner can read. Not here: which hashes there are
(``storage.ledger.erasures``) and what they refuse (``pipeline.tombstones``).
"""

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from sessions_platform.errors import UserError
from sessions_platform.settings import make_private_folder

_VARIABLE = "SESSIONS_ERASURE_KEY"
_LEAST_BYTES = 16
_BYTES = 32


@dataclass(frozen=True)
class ErasureKey:
    """The key from the environment, or the file that contains it; the value is not part of the repr."""

    value: str | None = field(default=None, repr=False)
    file: Path | None = None

    def read(self) -> bytes:
        """The key.

        Raises:
            UserError: there is none, or it is too short to be one.
        """
        if self.value is not None:
            return _checked(self.value.encode(), _VARIABLE)
        try:
            content = self.file.read_bytes() if self.file else b""
        except FileNotFoundError:
            content = b""
        if not content:
            raise UserError(
                f"{self.file or _VARIABLE}: the key is missing by which erased users are recognized, so that their "
                f"rows could land again. Fix: restore the file, or set {_VARIABLE} to the key."
            )
        return _checked(content.strip(), str(self.file))

    def read_or_make(self) -> bytes:
        """The key; made, in a file of mode 0600, where there is none yet."""
        if self.value is None and self.file is not None and not self.file.exists():
            make_private_folder(self.file.parent)
            draft = self.file.with_name(f".{secrets.token_hex(8)}.tmp")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
                handle.write(secrets.token_hex(_BYTES).encode() + b"\n")
                handle.flush()
                os.fsync(handle.fileno())
            try:
                self.file.hardlink_to(draft)  # of two processes one makes the key, and both read it
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return self.read()


def keyed_hash(key: bytes, *parts: bytes) -> str:
    """HMAC-SHA256 of the parts, in hex. Each part's length is hashed with it, so that no two lists of parts agree."""
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256").hex()


def _checked(key: bytes, where: str) -> bytes:
    if len(key) < _LEAST_BYTES:
        raise UserError(f"{where}: the key is shorter than {_LEAST_BYTES} characters. Fix: take a longer, random one.")
    return key
