"""What aiokafka's connections lack: a closed socket that is an error, a refusal that has its name.

uvloop raises RuntimeError for what is written to a transport that has just been closed, where
asyncio's own loop says nothing. aiokafka expects OSError, so at the wrong moment of a broker's
restart the RuntimeError ends the task that keeps its client's metadata; whatever needs a new leader
then waits for ever. (Seen in a crash test: a retry worker stood still until it was restarted.)

Whatever goes wrong with a connection, aiokafka's clients call it "unable to bootstrap" or "node not
ready". A login or a certificate that is refused is told of here, where it happens, for every client
(Faust's are among them), at each try to connect again. A topic that we may not see is told of when
its metadata comes: a consumer would take it for one without partitions.

``mend`` replaces methods of aiokafka, pinned exactly in ``pyproject.toml``; tests fail if an
upgrade moves them.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from shared.kafka import refusals

_send: Final = AIOKafkaConnection.send
_connect: Final = AIOKafkaConnection.connect
_update_metadata: Final = ClusterMetadata.update_metadata


def mend() -> None:
    """Mend every aiokafka client's connections from now on."""
    AIOKafkaConnection.send = _send_or_close
    AIOKafkaConnection.connect = _connect_or_tell
    ClusterMetadata.update_metadata = _update_metadata_and_tell


def _send_or_close(connection: Any, request: Any, expect_response: bool = True) -> Any:
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection was closed: {error}") from error


async def _connect_or_tell(connection: Any) -> Any:
    try:
        return await _connect(connection)
    except (KafkaError, OSError) as error:
        refusals.tell(error, broker=f"{connection.host}:{connection.port}")
        raise


def _update_metadata_and_tell(cluster: Any, metadata: Any) -> None:
    _update_metadata(cluster, metadata)
    for topic in cluster.unauthorized_topics:
        refusals.tell(TopicAuthorizationFailedError(topic))
