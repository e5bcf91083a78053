"""Which open connections may be used again. Pure bookkeeping: it neither opens nor closes any.

Per origin the connection that was used last goes first, so that the others grow old and are closed;
over all origins the one that was used longest ago goes first when there are too many. Each
connection is pinned to the vetted address it was dialled at, and keeps it.
"""

from __future__ import annotations

from collections import OrderedDict

from shared.http.connection import Connection


class IdlePool:
    """At most ``idle_max`` idle connections by origin, with their times of release."""

    def __init__(self, idle_max: int) -> None:
        self._idle_max = idle_max
        self._by_origin: dict[str, list[Connection]] = {}
        self._released_at: OrderedDict[Connection, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._released_at)

    def put(self, connection: Connection, now: float) -> Connection | None:
        """Keep a connection that carries no attempt; return the one that is too many, if any."""
        stack = self._by_origin.get(connection.origin)
        if stack is None:
            self._by_origin[connection.origin] = [connection]
        else:
            stack.append(connection)
        self._released_at[connection] = now
        return self.pop_oldest() if len(self._released_at) > self._idle_max else None

    def take(self, origin: str) -> Connection | None:
        """Remove and return the connection to ``origin`` that was used last, if there is one."""
        stack = self._by_origin.get(origin)
        while stack:
            connection = stack.pop()
            if not stack:
                del self._by_origin[origin]
            del self._released_at[connection]
            if connection.usable:
                return connection
        return None

    def pop_oldest(self) -> Connection | None:
        """Remove and return the connection that was used longest ago, if there is one."""
        oldest = next(iter(self._released_at), None)
        if oldest is not None:
            self.discard(oldest)
        return oldest

    def discard(self, connection: Connection) -> None:
        """Remove a connection, if it is here."""
        if self._released_at.pop(connection, None) is None:
            return
        stack = self._by_origin[connection.origin]
        stack.remove(connection)
        if not stack:
            del self._by_origin[connection.origin]

    def oldest_released_at(self) -> float | None:
        """Return when the connection that was used longest ago was released."""
        return next(iter(self._released_at.values()), None)
