"""What it takes to send to one endpoint, put together once for each revision of it.

The secrets are opened here and live in the signer only; the values of custom headers live in the
block that is sent, and ``recorded`` masks them for the log. A URL that the egress policy refuses
does not raise: it makes every attempt fail with that reason, as the receiver's owner must see it in
the log. A secret that does not open is a fault of ours: nothing is attempted and the delivery
waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from shared.http.messages import OutgoingRequest, render_headers
from shared.models.deliveries import DeliveryMeta
from shared.models.endpoints import MASK, EndpointState, PayloadFormat, header_context
from shared.policy.addresses import EgressPolicy, Target, UrlRefused, parse_url
from shared.policy.retry import RetryPolicy, success_statuses
from shared.profiles.formats import in_format
from shared.profiles.profile import Profile
from shared.signing.keyring import Keyring
from shared.signing.schemes import Earlier, Signer, fits, make_signer
from shared.topics import Tiers


class Face:
    """What requests of one payload format have in common: their headers and their signature."""

    __slots__ = ("_attempt_lead", "_event_id_lead", "_fixed", "_fixed_recorded", "_signer")

    def __init__(
        self, profile: Profile, signer: Signer, headers: Sequence[tuple[str, str]]
    ) -> None:
        ours = [
            ("Content-Type", profile.body.content_type),
            ("User-Agent", profile.headers.user_agent),
        ]
        masked = [(name, MASK) for name, _ in headers]
        self._fixed = render_headers([*ours, *headers])
        self._fixed_recorded = render_headers([*ours, *masked]) if headers else self._fixed
        self._event_id_lead = f"{profile.headers.event_id}: ".encode()
        self._attempt_lead = f"{profile.headers.attempt}: ".encode()
        self._signer = signer

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
        """Return a header block of this face as the log may show it: custom values masked."""
        if self._fixed_recorded is self._fixed:
            return headers
        return self._fixed_recorded + headers[len(self._fixed) :]


class Destination:
    """An endpoint ready to be sent to. Immutable but for faces that are made when needed."""

    __slots__ = (
        "_face_of",
        "_faces",
        "endpoint",
        "profile",
        "refused",
        "retry",
        "successes",
        "target",
        "timeout_ms",
    )

    def __init__(
        self,
        *,
        endpoint: EndpointState,
        profile: Profile,
        retry: RetryPolicy,
        face_of: Callable[[PayloadFormat], Face],
        target: Target | None,
        refused: str | None,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.retry = retry
        self.target = target
        self.refused = refused
        self.timeout_ms = endpoint.timeout_ms or profile.timeout_ms
        self.successes = success_statuses(endpoint.success_codes)
        self._face_of = face_of
        self._faces = {endpoint.payload_format: face_of(endpoint.payload_format)}

    def headers(self, meta: DeliveryMeta, body: bytes, timestamp_s: int) -> bytes:
        """Return the header block of an attempt, signed now, as its body's format has it."""
        return self._face(meta).headers(meta, body, timestamp_s)

    def recorded(self, meta: DeliveryMeta, headers: bytes) -> bytes:
        """Return a header block of this destination as the log may show it."""
        return self._face(meta).recorded(headers)

    def _face(self, meta: DeliveryMeta) -> Face:
        face = self._faces.get(meta.payload_format)
        if face is None:
            face = self._faces[meta.payload_format] = self._face_of(meta.payload_format)
        return face

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
        tiers: Tiers,
        keyring: Keyring,
        egress: EgressPolicy,
    ) -> None:
        self._profiles = profiles
        self._tiers = tiers
        self._retries = {name: RetryPolicy(profile, tiers) for name, profile in profiles.items()}
        self._keyring = keyring
        self._egress = egress

    def make(self, endpoint: EndpointState) -> Destination:
        """Return the endpoint's destination.

        Raises KeyringError for what does not open, LookupError for an unknown profile and
        ValueError for a secret that is none of the profile's: all three are ours to mend.
        """
        profile = self._profiles[endpoint.profile]
        retry = self._retries[endpoint.profile]
        if endpoint.retry_delays is not None:
            retry = RetryPolicy(profile, self._tiers, endpoint.retry_delays)
        target, refused = None, None
        try:
            target = parse_url(endpoint.url, self._egress)
        except UrlRefused as error:
            refused = error.reason
        return Destination(
            endpoint=endpoint,
            profile=profile,
            retry=retry,
            face_of=partial(self._face, endpoint, profile),
            target=target,
            refused=refused,
        )

    def _face(
        self, endpoint: EndpointState, profile: Profile, payload_format: PayloadFormat
    ) -> Face:
        """Return what requests to ``endpoint`` look like in a format; raises as ``make`` does.

        The format may be an earlier one of the endpoint's, whose scheme its present secret does not
        fit: then the profile's own scheme signs, which every secret fits.
        """
        formatted = in_format(profile, payload_format)
        secret = self._keyring.open(endpoint.secret, endpoint.id)
        replaced = [
            Earlier(self._keyring.open(old.secret, endpoint.id), old.until_ms)
            for old in endpoint.earlier
        ]
        # One from before the format was chosen may not fit it: no receiver uses that for this one.
        earlier = [old for old in replaced if fits(formatted, old.secret)]
        try:
            signer = make_signer(formatted, secret, earlier)
        except ValueError:
            if payload_format == endpoint.payload_format:
                raise
            signer = make_signer(profile, secret)
        headers = [
            (name, self._keyring.open(value, header_context(endpoint.id, name)))
            for name, value in endpoint.headers
        ]
        return Face(formatted, signer, headers)


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What was sent: needed for the attempt's record."""

    headers: bytes
    started_ms: int
