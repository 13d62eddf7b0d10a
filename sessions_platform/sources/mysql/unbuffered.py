"""A cursor that gives rows as the server sends them. Imported only where the extra `mysql` is installed."""

from typing import Any

from pymysql.cursors import SSCursor


class UnbufferedCursor(SSCursor):
    """PyMySQL's own, but for its end: what was not read is left, since its connection is closed right after."""

    _result: Any
    connection: Any

    def close(self) -> None:
        """Take no further rows; PyMySQL's would take all."""
        if self._result is not None:
            self._result.unbuffered_active = False
        self.connection = None

    __del__ = close
