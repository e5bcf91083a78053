"""What it takes to send to one endpoint, put together once for each revision of it.

The secret is opened here and lives in the signer only; the values of custom headers live in the
block that is sent, and ``recorded`` masks them for the log. A URL that the egress policy refuses
does not raise: it makes every attempt fail with that reason, as the receiver's owner must see it in
the log. A secret that does not open is a fault of ours: nothing is attempted and the delivery
waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from shared.http.messages import OutgoingRequest, render_headers
from shared.models.deliveries import DeliveryMeta
from shared.models.endpoints import MASK, EndpointState, header_context
from shared.policy.addresses import EgressPolicy, Target, UrlRefused, parse_url
from shared.policy.retry import RetryPolicy
from shared.profiles.profile import Profile
from shared.signing.keyring import Keyring
from shared.signing.schemes import Signer, make_signer


class Destination:
    """An endpoint ready to be sent to. Immutable."""

    __slots__ = (
        "_attempt_lead",
        "_event_id_lead",
        "_fixed",
        "_fixed_recorded",
        "_signer",
        "endpoint",
        "profile",
        "refused",
        "retry",
        "target",
        "timeout_ms",
    )

    def __init__(
        self,
        *,
        endpoint: EndpointState,
        profile: Profile,
        retry: RetryPolicy,
        signer: Signer,
        headers: Sequence[tuple[str, str]],
        target: Target | None,
        refused: str | None,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.retry = retry
        self.target = target
        self.refused = refused
        self.timeout_ms = profile.timeout_ms
        self._signer = signer
        ours = [("Content-Type", "application/json"), ("User-Agent", profile.headers.user_agent)]
        self._fixed = render_headers([*ours, *headers])
        masked = [(name, MASK) for name, _ in headers]
        self._fixed_recorded = render_headers([*ours, *masked]) if headers else self._fixed
        self._event_id_lead = f"{profile.headers.event_id}: ".encode()
        self._attempt_lead = f"{profile.headers.attempt}: ".encode()

    def headers(self, meta: DeliveryMeta, body: bytes, timestamp_s: int) -> bytes:
        """Return the header block of an attempt, signed now.

        The event id was checked when the event was read: visible ASCII only.
        """
        return b"".join(
            (
                self._fixed,
                self._event_id_lead,
                meta.event_id.encode(),
                b"\r\n",
                self._attempt_lead,
                b"%d\r\n" % meta.attempt,
                self._signer.lines(webhook_id=meta.event_id, timestamp_s=timestamp_s, body=body),
            )
        )

    def recorded(self, headers: bytes) -> bytes:
        """Return a header block of this destination as the log may show it."""
        if self._fixed_recorded is self._fixed:
            return headers
        return self._fixed_recorded + headers[len(self._fixed) :]

    def request(self, headers: bytes, body: bytes, response_bytes_max: int) -> OutgoingRequest:
        """Return the request; only for a destination whose URL was not refused."""
        assert self.target is not None
        return OutgoingRequest(self.target, headers, body, self.timeout_ms, response_bytes_max)


class Destinations:
    """Makes destinations. One for each worker."""

    def __init__(
        self,
        *,
        profiles: Mapping[str, Profile],
        retries: Mapping[str, RetryPolicy],
        keyring: Keyring,
        egress: EgressPolicy,
    ) -> None:
        self._profiles = profiles
        self._retries = retries
        self._keyring = keyring
        self._egress = egress

    def make(self, endpoint: EndpointState) -> Destination:
        """Return the endpoint's destination.

        Raises KeyringError for what does not open, LookupError for an unknown profile and
        ValueError for a secret that is none of the profile's: all three are ours to mend.
        """
        profile = self._profiles[endpoint.profile]
        secret = self._keyring.open(endpoint.secret, endpoint.id)
        target, refused = None, None
        try:
            target = parse_url(endpoint.url, self._egress)
        except UrlRefused as error:
            refused = error.reason
        return Destination(
            endpoint=endpoint,
            profile=profile,
            retry=self._retries[endpoint.profile],
            signer=make_signer(profile, secret),
            headers=[
                (name, self._keyring.open(value, header_context(endpoint.id, name)))
                for name, value in endpoint.headers
            ],
            target=target,
            refused=refused,
        )


class Sent(msgspec.Struct, frozen=True):
    """What was sent: needed for the attempt's record."""

    headers: bytes
    started_ms: int
