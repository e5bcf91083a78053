"""For those who receive webhooks in Python: one object that says whether a request is genuine.

    receiver = Receiver("qr3", [os.environ["QR3_WEBHOOK_SECRET"]])
    receiver.verify(request.headers, request.body)  # raises NotVerified: answer 401

What the signature is made of is in ``shared.signing.verify``; here are the profile's file and the
clock. Thread-safe; imports nothing of the services.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.profiles.profile import load_profiles
from shared.signing.verify import TOLERANCE_S, NotVerified, verify
from shared.topics import DEFAULT_TIERS, Tiers

__all__ = ["NotVerified", "Receiver"]


class Receiver:
    """Verifies the requests of one product with any of ``secrets``.

    ``profile`` is the product's name (``qr3``, ``xqr``, ``standard``) or that of a file in
    ``profiles_dir``. Give two secrets while one replaces the other. ``tolerance_s`` is how far a
    signed timestamp may be from this machine's clock.
    """

    def __init__(
        self,
        profile: str,
        secrets: Sequence[str],
        *,
        tolerance_s: float = TOLERANCE_S,
        profiles_dir: Path | None = None,
    ) -> None:
        known = load_profiles(Tiers.parse(DEFAULT_TIERS), profiles_dir)
        if profile not in known:
            raise ValueError(f"there is no profile {profile!r}; known: {', '.join(sorted(known))}")
        if isinstance(secrets, str):
            raise TypeError("secrets is one string; give a list of them")
        self._profile = known[profile]
        self._secrets = tuple(secrets)
        self._tolerance_s = tolerance_s

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Return if the request is genuine; raises NotVerified, whose message is for your log.

        ``body`` is what arrived, byte for byte.
        """
        verify(
            self._profile,
            self._secrets,
            headers,
            body,
            now_s=time.time(),
            tolerance_s=self._tolerance_s,
        )
