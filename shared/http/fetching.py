"""Fetching one small document from a URL that an operator has chosen, within limits.

Not for URLs of strangers: those are called by ``transport``, which vets addresses. Here the
operator may mean a server inside the network. No redirect is followed, and no proxy or credential
taken from the environment; what is too large, too slow or not 200 is ``Outage``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

import httpx

from shared.models.errors import Outage

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


def fetcher(url: str, *, bytes_max: int, timeout_s: float) -> Callable[[], Awaitable[bytes]]:
    """Return a function that fetches ``url``; it raises Outage, which says what went wrong."""

    async def fetch() -> bytes:
        client = httpx.AsyncClient(
            verify=_trusted(), trust_env=False, follow_redirects=False, timeout=timeout_s
        )
        try:
            async with asyncio.timeout(timeout_s), client:
                return await _read(client, url, bytes_max)
        except TimeoutError:
            raise Outage(f"{url} did not answer within {timeout_s:g} seconds") from None
        except httpx.HTTPError as error:
            raise Outage(f"{url} does not answer: {type(error).__name__}") from error

    return fetch


@cache
def _trusted() -> ssl.SSLContext:
    """Return the authorities of this machine; reading them takes a tenth of a second."""
    return ssl.create_default_context()


async def _read(client: httpx.AsyncClient, url: str, bytes_max: int) -> bytes:
    async with client.stream("GET", url, headers=_HEADERS) as answer:
        if answer.status_code != httpx.codes.OK:
            raise Outage(f"{url} answers {answer.status_code}")
        received = bytearray()
        async for piece in answer.aiter_raw():
            received += piece
            if len(received) > bytes_max:
                raise Outage(f"{url} answers more than {bytes_max} bytes")
        return bytes(received)
