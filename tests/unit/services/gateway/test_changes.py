"""Changing an endpoint, as a pure function."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from services.gateway.handlers.endpoints import changed_by
from services.gateway.schemas import UpdateWebhook
from shared.models.management import Endpoint

ENDPOINT = Endpoint(
    id="wh_1",
    workspace_id="ws_a",
    profile="qr3",
    url="https://example.com/a",
    events=("qr.scanned",),
    secret="k1:sealed",
    secret_hint="my-s…",
    description="first",
    created_ms=1,
    updated_ms=1,
    revision=3,
)


def test_what_is_absent_stays() -> None:
    changed = changed_by(ENDPOINT, UpdateWebhook(url="https://example.com/b"), 2)

    assert changed.url == "https://example.com/b"
    assert changed.updated_ms == 2
    assert (changed.events, changed.description, changed.secret) == (
        ENDPOINT.events,
        ENDPOINT.description,
        ENDPOINT.secret,
    )


def test_a_description_can_be_removed() -> None:
    assert changed_by(ENDPOINT, UpdateWebhook(description=None), 2).description is None


def test_a_limit_is_set_and_removed() -> None:
    limited = changed_by(ENDPOINT, UpdateWebhook(concurrency=4, rate_limit=2.5), 2)
    lifted = changed_by(limited, UpdateWebhook(rate_limit=None), 3)

    assert (limited.concurrency, limited.rate_limit) == (4, 2.5)
    assert (lifted.concurrency, lifted.rate_limit) == (4, None)
    state = limited.state()
    assert state is not None
    assert (state.concurrency, state.rate_limit) == (4, 2.5)


def test_repeated_events_are_kept_once() -> None:
    wanted = UpdateWebhook(events=["*", "qr.created", "*"])

    assert changed_by(ENDPOINT, wanted, 2).events == ("*", "qr.created")


@given(
    active=st.booleans(),
    wanted=st.sampled_from([True, False, UNSET]),
    epoch=st.integers(1, 9),
)
def test_only_enabling_what_is_disabled_begins_a_new_epoch(
    active: bool, wanted: bool | UnsetType, epoch: int
) -> None:
    current = Endpoint(
        **{
            **{name: getattr(ENDPOINT, name) for name in ENDPOINT.__struct_fields__},
            "active": active,
            "epoch": epoch,
            "disabled_reason": None if active else "10 failures in a row",
        }
    )

    changed = changed_by(current, UpdateWebhook(is_active=wanted), 2)

    assert changed.active == (active if wanted is UNSET else wanted)
    assert changed.epoch - epoch == (1 if wanted is True and not active else 0)
    assert changed.revision == current.revision
    if changed.active:
        assert changed.disabled_reason is None
