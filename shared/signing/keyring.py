"""Endpoint secrets at rest: AES-256-GCM under a ring of keys.

A sealed secret is ``<key id>:<base64 of nonce, ciphertext and tag>``. The endpoint's id is bound in
as associated data, so that a ciphertext copied to another endpoint does not open. The first key of
the ring encrypts, every key decrypts: put a new key first, re-seal, then drop the old one; no
downtime. Neither keys nor secrets show in ``repr`` or in errors.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class KeyringError(ValueError):
    """The key ring is unusable, or a sealed secret does not open; never shows a secret."""


class Keyring:
    """Seals and opens endpoint secrets. Immutable."""

    __slots__ = ("_active", "_ciphers")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise KeyringError(
                "the key ring is empty: set HOOKLANE_SECRET_KEYS to <id>:<base64 of 32 bytes>"
            )
        for number, (key_id, key) in enumerate(keys.items(), start=1):
            if not key_id.isalnum() or len(key) != KEY_BYTES:
                raise _unusable(number, "an alphanumeric id and 32 bytes are needed")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._active = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Return the ring that ``text`` lists: ``id:base64`` items separated by commas."""
        keys: dict[str, bytes] = {}
        items = [part.strip() for part in text.split(",") if part.strip()]
        for number, item in enumerate(items, start=1):
            key_id, _, encoded = item.partition(":")
            if key_id in keys:
                raise _unusable(number, "its id was used before")
            try:
                keys[key_id] = base64.b64decode(encoded, validate=True)
            except ValueError:
                raise _unusable(number, "what follows the id is not base64") from None
        return cls(keys)

    def seal(self, secret: str, endpoint_id: str, nonce: bytes) -> str:
        """Return ``secret`` encrypted for ``endpoint_id``; ``nonce`` is 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise KeyringError(f"the nonce has {len(nonce)} bytes, {NONCE_BYTES} are needed")
        cipher = self._ciphers[self._active]
        sealed = nonce + cipher.encrypt(nonce, secret.encode(), endpoint_id.encode())
        return f"{self._active}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, endpoint_id: str) -> str:
        """Return the secret; raises KeyringError for an unknown key or altered text."""
        key_id, _, encoded = sealed.partition(":")
        cipher = self._ciphers.get(key_id)
        if cipher is None:  # what stands in front of the colon may be a secret in clear: not shown
            known = ", ".join(self._ciphers)
            raise KeyringError(f"the secret of {endpoint_id} has none of the ring's keys: {known}")
        try:
            raw = base64.b64decode(encoded, validate=True)
            opened = cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], endpoint_id.encode())
        except (InvalidTag, ValueError):
            raise KeyringError(f"the secret of {endpoint_id} does not open") from None
        return opened.decode()

    def __repr__(self) -> str:
        return f"<Keyring {', '.join(self._ciphers)}>"


def _unusable(number: int, why: str) -> KeyringError:
    """Return the error for an item of the ring; by its number, as any text of it may be the key."""
    return KeyringError(
        f"key {number} of HOOKLANE_SECRET_KEYS is no <id>:<base64 of 32 bytes>: {why}"
    )
