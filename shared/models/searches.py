"""What the delivery log is asked for. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.models.attempts import Attempt, Status


class AttemptFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts somebody looks for; None stands for any."""

    status: Status | None = None
    event_type: str | None = None
    event_id: str | None = None
    status_code: int | None = None

    def takes(self, attempt: Attempt) -> bool:
        """Return whether ``attempt`` is one of them."""
        return (
            self.status in {None, attempt.status}
            and self.event_type in {None, attempt.event_type}
            and self.event_id in {None, attempt.event_id}
            and self.status_code in {None, attempt.status_code}
        )


ALL_ATTEMPTS: Final = AttemptFilter()
