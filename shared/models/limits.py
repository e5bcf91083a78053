"""What a workspace may use. Without a limit it may use what there is.

Rates and quotas are counted where the gateway takes requests and events; producers on Kafka are not
behind it and are not counted. The numbers of things are checked when one more is to be made.
"""

from __future__ import annotations

from typing import Final

import msgspec


class WorkspaceLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of a workspace; None is none.

    ``requests_per_second`` counts calls of the API, the other rates and quotas events that are
    published over HTTP: in a second, a day and a month of UTC. The rest are numbers of things that
    exist; ``event_types`` are those that the workspace has made itself.
    """

    requests_per_second: int | None = None
    events_per_second: int | None = None
    events_per_day: int | None = None
    events_per_month: int | None = None
    webhooks: int | None = None
    api_keys: int | None = None
    event_types: int | None = None


NO_LIMITS: Final = WorkspaceLimits()
