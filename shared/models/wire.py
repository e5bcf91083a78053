"""Decoding records that anybody may have written: one kind of error for all that can be wrong.

msgspec raises ``DecodeError`` for most foreign bytes, but ``UnicodeDecodeError`` for a string that
is not UTF-8 and ``RecursionError`` for thousands of levels. A reader that knows only the first
would stop at such a record for ever, so every record type is decoded through ``decode``. Pure.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol[T_co]):
    """A decoder of msgspec, for JSON or msgpack."""

    def decode(self, buf: bytes, /) -> T_co:
        """Return the value that ``buf`` holds."""


def decode(decoder: Decoder[T_co], value: bytes) -> T_co:
    """Return the value that ``value`` holds; raises msgspec.DecodeError, nothing else."""
    try:
        return decoder.decode(value)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not valid UTF-8: {error.reason}") from None
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply") from None
