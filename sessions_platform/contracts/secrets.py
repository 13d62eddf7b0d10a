"""Values that a stream's file must not contain: it names the environment variable that has them.

Not here: the platform's own secrets, which are settings (`settings`).
"""

import os
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import invalid
from sessions_platform.errors import UserError


class FromEnvironment(Model):
    """A value that is read from the environment whenever it is needed, and never stored or shown."""

    env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="The name of an environment variable.")

    def read(self, key: str) -> str:
        """The value.

        Args:
            key: of the stream's file, for the message.

        Raises:
            UserError: the variable is not set, or is empty.
        """
        value = os.environ.get(self.env)
        if not value:
            raise UserError(f"{key}: the environment variable {self.env} is not set. Fix: set it where runs happen.")
        return value


def _named(value: Any) -> Any:
    if isinstance(value, dict | FromEnvironment):
        return value
    # The message must not quote what may be a password.
    raise invalid("a secret can't stand in the file", "name an environment variable, as in {env: SHOP_DB_PASSWORD}")


Secret = Annotated[FromEnvironment, BeforeValidator(_named)]
TextOrSecret = str | FromEnvironment


def shown_text(value: TextOrSecret) -> str:
    """A value as messages and uris show it: what stands in the environment by its name, as in $SHOP_HOST."""
    return f"${value.env}" if isinstance(value, FromEnvironment) else value


def text_of(value: TextOrSecret, key: str) -> str:
    """A value that may stand in the file or in the environment. Raises UserError where it is not set."""
    return value.read(key) if isinstance(value, FromEnvironment) else value
