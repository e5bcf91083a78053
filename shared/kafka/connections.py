"""What aiokafka's connections lack under uvloop: a closed socket that is an error like any other.

uvloop raises RuntimeError for what is written to a transport that has just been closed, where
asyncio's own loop says nothing. aiokafka expects OSError, so at the wrong moment of a broker's
restart the RuntimeError ends the task that keeps its client's metadata; whatever needs a new leader
then waits for ever. (Seen in a crash test: a retry worker stood still until it was restarted.)

``mend`` replaces a method of aiokafka, pinned exactly in ``pyproject.toml``; a test fails if an
upgrade moves it.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send: Final = AIOKafkaConnection.send


def mend() -> None:
    """Let a write to a closed socket close the connection, in every aiokafka client from now on."""
    AIOKafkaConnection.send = _send_or_close


def _send_or_close(connection: Any, request: Any, expect_response: bool = True) -> Any:
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection was closed: {error}") from error
