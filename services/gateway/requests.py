"""Reading a request's body: every limit before a byte is parsed.

Content type (415), size (413, Litestar's ``request_max_body_size``) and time (408) are checked
first; then the JSON is decoded strictly into what the route's ``data`` says, with errors that name
the field. Litestar's own decoding is lax (``"true"`` becomes a boolean) and names fields only for
some errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import HTTPException, InternalServerException

from services.gateway.auth import Caller
from services.gateway.errors import InvalidFields, TooLarge, TooSlow, UnsupportedMedia, from_msgspec
from shared.models.errors import Invalid

BODY_TIMEOUT_S: Final = 30.0
JSON_TYPE: Final = "application/json"
MERGE_PATCH_TYPE: Final = "application/merge-patch+json"
CONTENT_TYPES: Final = "content_types"
"""The route option that lists the content types a route reads; ``application/json`` without it."""

BODY_OPTIONAL: Final = "body_optional"
"""The route option of calls that may come without a body: none of its members is required."""

T = TypeVar("T")


class ApiRequest(Request[None, Caller, State]):
    """A request of the API; ``auth`` is the Caller."""

    async def body(self) -> bytes:
        """Return the body. Raises UnsupportedMedia, TooLarge, TooSlow or Invalid."""
        if self._may_do_without():
            return b"{}"
        self._check_type()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                received = await super().body()
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {BODY_TIMEOUT_S:.0f} seconds") from None
        except InternalServerException:
            raise Invalid("the connection ended before the body did") from None
        except HTTPException as error:
            if error.status_code != TooLarge.status:
                raise
            limit = self.route_handler.resolve_request_max_body_size()
            raise TooLarge(f"the body may have {limit} bytes at most; send less") from None
        if not received:
            raise Invalid("the body is empty; send JSON")
        return received

    async def json(self) -> Any:
        """Return the body as the type of the route's ``data``."""
        handler: Any = self.route_handler
        return decode(await self.body(), handler.parsed_data_field.annotation)

    def _may_do_without(self) -> bool:
        empty = self.headers.get("content-length", "0") == "0"
        says_nothing = empty and not self.headers.keys() & {"transfer-encoding", "content-type"}
        return says_nothing and bool(self.route_handler.opt.get(BODY_OPTIONAL))

    def _check_type(self) -> None:
        accepted: tuple[str, ...] = self.route_handler.opt.get(CONTENT_TYPES, (JSON_TYPE,))
        given = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given not in accepted:
            shown = f"is {given[:64]!r}" if given else "is missing"
            raise UnsupportedMedia(f"the Content-Type {shown}; send {' or '.join(accepted)}")
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise UnsupportedMedia(
                f"the Content-Encoding is {encoding[:64]!r}; send the body as it is"
            )


def _choices(kind: type) -> dict[str, Sequence[object]]:
    """Return the values of those fields of a struct that have few."""
    told = msgspec.inspect.type_info(kind)
    fields = told.fields if isinstance(told, msgspec.inspect.StructType) else ()
    found = {field.encode_name: tuple(_values(field.type)) for field in fields}
    return {name: values for name, values in found.items() if values}


def _values(told: msgspec.inspect.Type) -> Iterator[object]:
    """Yield the values that a type lists."""
    if isinstance(told, msgspec.inspect.LiteralType):
        yield from told.values
    elif isinstance(told, msgspec.inspect.Metadata):
        yield from _values(told.type)
    elif isinstance(told, msgspec.inspect.UnionType):
        for one in told.types:
            yield from _values(one)


def decode(body: bytes, kind: type[T]) -> T:
    """Return ``body`` as ``kind``; raises InvalidFields or Invalid, with the fix."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        known = getattr(kind, "__struct_fields__", ())
        raise InvalidFields([from_msgspec(str(error), known, _choices(kind))]) from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    except (UnicodeDecodeError, RecursionError):
        raise Invalid("the body is not JSON: it must be UTF-8 and not nested deeply") from None
