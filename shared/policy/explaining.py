"""Why an endpoint gets an event, or does not: the rules of ``matching``, one by one, in words.

All of them are judged, so that somebody who looks for a missing event sees everything that stands
in its way. An event is delivered exactly if every criterion matches. Pure.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.models.endpoints import EndpointState
from shared.models.times import iso_ms
from shared.policy.matching import Content, choice_of, decoded, names_of
from shared.profiles.profile import Profile


class Criterion(msgspec.Struct, frozen=True):
    """One rule: whether the event and the endpoint satisfy it, and why."""

    criterion: Literal["active", "type", "channels", "filter"]
    matches: bool
    reason: str


def explain(
    state: EndpointState, profile: Profile, event_type: str, content: Content
) -> list[Criterion]:
    """Return every criterion for an event of this type (aliases allowed) with this content.

    Raises msgspec.DecodeError for a filter that this release does not know.
    """
    return [
        _active(state),
        _type(state, profile, event_type),
        _channels(state, content),
        _filter(state, content),
    ]


def _active(state: EndpointState) -> Criterion:
    if not state.active:
        why = f" ({state.disabled_reason})" if state.disabled_reason else ""
        return Criterion("active", False, f"it is disabled{why}")
    if state.paused_ms is not None:
        since = iso_ms(state.paused_ms)
        return Criterion("active", False, f"it is paused since {since}: the event is discarded")
    return Criterion("active", True, "it is neither disabled nor paused")


def _type(state: EndpointState, profile: Profile, event_type: str) -> Criterion:
    names = names_of(profile, event_type)
    subscribed = [name for name in state.events if name in names]
    if subscribed:
        return Criterion("type", True, f"{names[0]!r} is subscribed by {', '.join(subscribed)}")
    given = ", ".join(state.events)
    return Criterion("type", False, f"{names[0]!r} is not among what it subscribed: {given}")


def _channels(state: EndpointState, content: Content) -> Criterion:
    if not state.channels:
        return Criterion("channels", True, "it takes every channel")
    common = [name for name in content.channels if name in state.channels]
    if common:
        return Criterion("channels", True, f"both are on {', '.join(common)}")
    event = ", ".join(content.channels) or "no channel"
    return Criterion(
        "channels", False, f"the event is on {event}, it takes {', '.join(state.channels)}"
    )


def _filter(state: EndpointState, content: Content) -> Criterion:
    choice = choice_of(state)
    if choice is None or choice.filter is None:
        return Criterion("filter", True, "it has none")
    reason = choice.filter.reason(decoded(content.data))
    return Criterion("filter", reason is None, reason or "every condition holds")
