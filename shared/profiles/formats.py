"""Payload formats: the same event in the envelope that an endpoint asks for. Pure.

A format is a function from a profile to a profile: whatever renders, signs and sends by a profile
does so by the result, and knows nothing of formats. ``profile`` is the product's own; ``standard``
is Standard Webhooks 1.0 (envelope, headers and signature); ``cloudevents`` is a structured
CloudEvent 1.0 in JSON, which has no signature of its own and so carries the product's. ``data`` is
rendered as the product does it, so what can be sent in one format can be sent in every one.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from shared.models.endpoints import PayloadFormat
from shared.profiles.profile import Body, Headers, Profile, Signature

_STANDARD_SIGNATURE: Final = Signature(
    scheme="standard-webhooks",
    secret_prefix="whsec_",  # noqa: S106 - what a secret begins with
)


def in_format(profile: Profile, payload_format: PayloadFormat) -> Profile:
    """Return what ``profile`` looks like to an endpoint that wants this format."""
    if payload_format == "standard":
        return replace(
            profile,
            body=Body(
                members={"type": "type", "timestamp": "created", "data": "data"},
                javascript_stable=profile.body.javascript_stable,
            ),
            signature=_STANDARD_SIGNATURE,
            headers=Headers(
                event_id="webhook-id",
                attempt="webhook-attempt",
                user_agent=profile.headers.user_agent,
            ),
        )
    if payload_format == "cloudevents":
        return replace(
            profile,
            body=Body(
                constants={"specversion": "1.0", "datacontenttype": "application/json"},
                members={
                    "id": "id",
                    "source": "workspace",
                    "type": "type",
                    "time": "created",
                    "data": "data",
                },
                content_type="application/cloudevents+json; charset=utf-8",
                javascript_stable=profile.body.javascript_stable,
            ),
        )
    return profile
