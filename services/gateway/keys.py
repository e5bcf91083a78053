"""What an endpoint signs with: chosen or generated, sealed, and what may be shown of it."""

from __future__ import annotations

from typing import NamedTuple

from services.gateway import validation
from services.gateway.ports import Ports
from services.gateway.schemas import SignatureVersion
from shared.models.management import Endpoint
from shared.profiles.profile import Profile
from shared.signing import asymmetric
from shared.signing.keyring import NONCE_BYTES


class Sealed(NamedTuple):
    """A secret at rest. ``shown`` is the secret where its owner needs it, None for a private key.

    Receivers verify with ``public_key`` then.
    """

    text: str
    hint: str
    public_key: str | None
    shown: str | None


def generated(ports: Ports, profile: Profile, version: SignatureVersion | None) -> str:
    """Return a fresh secret, or private key, of the profile's scheme."""
    entropy = ports.entropy(validation.SECRET_ENTROPY_BYTES)
    return validation.new_secret(profile.signature, entropy, version)


def seal(ports: Ports, endpoint_id: str, secret: str) -> Sealed:
    """Return a secret, or private key, sealed for this endpoint."""
    is_private = secret.startswith(asymmetric.PRIVATE_PREFIX)
    return Sealed(
        text=ports.keyring.seal(secret, endpoint_id, ports.entropy(NONCE_BYTES)),
        hint=validation.hint_of(secret),
        public_key=asymmetric.public_key_of(secret) if is_private else None,
        shown=None if is_private else secret,
    )


def opened(ports: Ports, endpoint: Endpoint) -> str | None:
    """Return the secret where its owner needs it, None where receivers have a public key."""
    if endpoint.public_key is not None:
        return None
    return ports.keyring.open(endpoint.secret, endpoint.id)


def version_of(endpoint: Endpoint) -> SignatureVersion | None:
    """Return how the endpoint's newest secret signs, None where that is its profile's usual way."""
    return None if endpoint.public_key is None else "v1a"
