"""The connection to MongoDB: concerns and time limits spelled out once, driver errors translated.

Every write is acknowledged by a majority and journalled, whatever the URI says: what this package
returned from survives the loss of a server. Every operation ends within ``OPERATION_TIMEOUT_MS``;
a server that does not answer is ``Outage``, never a driver's exception.

A server that refuses us (its login, our certificate or its own, the user's roles) is an Outage,
too: it is waited out, so that a password that is being changed costs nothing. ``mongodb_refuses``
says what it is. The URI has a password in it; neither it nor what the driver says about it is ever
part of a message.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import structlog
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import DESCENDING
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.config import ConfigError
from shared.models.errors import Outage
from shared.seldom import Seldom

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncIOMotorCollection[Document]

SERVER_SELECTION_TIMEOUT_MS: Final = 2_000
OPERATION_TIMEOUT_MS: Final = 5_000

DAY_MS: Final = 86_400_000
DUPLICATE_KEY: Final = 11_000
TELL_EVERY_S: Final = 10.0

_UNAUTHORISED: Final = 13
_LOGIN_FAILED: Final = 18
_ATLAS_REFUSES: Final = 8_000  # both of them, by MongoDB's own hosting
_LOGIN: Final = (
    "the login failed",
    "check user, password, authSource and authMechanism in HOOKLANE_MONGO_URI",
)
_REFUSALS: Final = {
    _UNAUTHORISED: (
        "the user may not do this",
        "give the user of HOOKLANE_MONGO_URI the role readWrite on HOOKLANE_MONGO_DATABASE",
    ),
    _LOGIN_FAILED: _LOGIN,
    _ATLAS_REFUSES: _LOGIN,
}
_UNVERIFIED: Final = re.compile(
    r"[?&](tls(?:Insecure|AllowInvalidCertificates|AllowInvalidHostnames)=true)",
    re.IGNORECASE,
)
_TLS_FAILURE: Final = re.compile(r"\[SSL: (?!UNEXPECTED_EOF)\w+\][^(,]*")

_UNREACHABLE: Final = (
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    WaitQueueTimeoutError,
    WTimeoutError,
)


_log = structlog.get_logger("mongodb")
_seldom: Final = Seldom(TELL_EVERY_S)


class Mongo:
    """A connection pool and the database behind it. Connects when it is first used.

    Raises ConfigError for a URI that cannot be used; a file that it names is read here.
    """

    def __init__(self, uri: str, database: str) -> None:
        self._client = _client(uri)
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
        tls = _TLS_FAILURE.search(str(error))
        if tls is None:
            raise Outage(f"MongoDB does not answer: {type(error).__name__}") from error
        fix = "check the certificate files in HOOKLANE_MONGO_URI and the name in the server's"
        raise _refusal(tls[0].strip(), fix) from error
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code in _REFUSALS:
            raise _refusal(*_REFUSALS[error.code]) from error
        if error.timeout:
            raise Outage(f"MongoDB did not answer within {OPERATION_TIMEOUT_MS} ms") from error
        raise


def _client(uri: str) -> AsyncIOMotorClient[Document]:
    blind = _UNVERIFIED.search(uri)
    if blind is not None:
        raise ConfigError(
            f"HOOKLANE_MONGO_URI has {blind[1]}, which lets anybody be the server: name who "
            "vouches for it by tlsCAFile instead"
        )
    try:
        with warnings.catch_warnings():
            # The driver warns of an option that it does not know, and goes on without it.
            warnings.simplefilter("error", UserWarning)
            return AsyncIOMotorClient(
                uri,
                appname="hooklane",
                tz_aware=True,
                serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
                connectTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
                timeoutMS=OPERATION_TIMEOUT_MS,
            )
    except OSError as error:
        raise ConfigError(
            f"HOOKLANE_MONGO_URI names the file {error.filename!r}: {error.strerror}"
        ) from None
    except (PyMongoError, UserWarning, ValueError) as error:
        raise ConfigError(
            f"HOOKLANE_MONGO_URI cannot be used ({type(error).__name__}): write "
            "mongodb://user:password@host:port/?tls=true&tlsCAFile=… with user and password "
            "percent-encoded, and options that MongoDB knows"
        ) from None


def _refusal(reason: str, fix: str) -> Outage:
    """Return the Outage of a server that refuses us, and see to it that it is known."""
    if _seldom.due(reason, time.monotonic()):
        _log.error("mongodb_refuses", error=reason, fix=fix)
    return Outage(f"MongoDB refuses us: {reason}")


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
