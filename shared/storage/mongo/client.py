"""The connection to MongoDB: concerns and time limits spelled out once, driver errors translated.

Every write is acknowledged by a majority and journalled, whatever the URI says: what this package
returned from survives the loss of a server. Every operation ends within ``OPERATION_TIMEOUT_MS``;
a server that does not answer is ``Outage``, never a driver's exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import DESCENDING
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.models.errors import Outage

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncIOMotorCollection[Document]

SERVER_SELECTION_TIMEOUT_MS: Final = 2_000
OPERATION_TIMEOUT_MS: Final = 5_000

DAY_MS: Final = 86_400_000
DUPLICATE_KEY: Final = 11_000

_UNREACHABLE: Final = (
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    WaitQueueTimeoutError,
    WTimeoutError,
)


class Mongo:
    """A connection pool and the database behind it. Connects when it is first used."""

    def __init__(self, uri: str, database: str) -> None:
        self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            uri,
            appname="hooklane",
            tz_aware=True,
            serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
            connectTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
            timeoutMS=OPERATION_TIMEOUT_MS,
        )
        self.database: AsyncIOMotorDatabase[Document] = self._client.get_database(
            database,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )

    def collection(self, name: str) -> Collection:
        """Return the collection called ``name``."""
        return self.database[name]

    async def ping(self) -> None:
        """Return when the server answers; raises Outage when it does not."""
        with outages():
            await self.database.command("ping")

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()


@contextmanager
def outages() -> Iterator[None]:
    """Turn the driver's "the server does not answer" into Outage; other errors stay as they are."""
    try:
        yield
    except _UNREACHABLE as error:
        raise Outage(f"MongoDB does not answer: {type(error).__name__}") from error
    except PyMongoError as error:
        if error.timeout:
            raise Outage(f"MongoDB did not answer within {OPERATION_TIMEOUT_MS} ms") from error
        raise


def known_already(error: BulkWriteError, what: str) -> list[Document]:
    """Return the failures of an unordered insert if what failed was there already, all of it.

    Anything else raises Outage, to have the insert repeated; ``what`` was to be stored. It names
    codes only: the server's words may hold what was in the documents.
    """
    failures: list[Document] = error.details["writeErrors"]
    others = {failure["code"] for failure in failures} - {DUPLICATE_KEY}
    if others or error.details["writeConcernErrors"]:
        raise Outage(f"MongoDB did not take all {what} (codes {sorted(others)})") from error
    return failures


async def newest(
    collection: Collection, where: Document, *, limit: int, before: str | None
) -> list[Document]:
    """Return up to ``limit`` documents, newest id first, older than the id ``before``."""
    older = where if before is None else {**where, "_id": {"$lt": before}}
    with outages():
        found = collection.find(older).sort("_id", DESCENDING).limit(limit)
        documents: list[Document] = await found.to_list(limit)
    return documents
