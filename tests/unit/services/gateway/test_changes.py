"""Changing an endpoint, as a pure function."""

from typing import Any

import msgspec
import pytest
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


def merge_patch(target: Any, patch: Any) -> Any:
    """Do what RFC 7396, 2, says."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


entries = st.dictionaries(st.sampled_from("abc"), st.text(max_size=2))
entry_patches = st.none() | st.dictionaries(
    st.sampled_from("abcd"), st.none() | st.text(max_size=2)
)


@given(
    metadata=entries,
    headers=entries,
    patch=st.fixed_dictionaries(
        {},
        optional={
            "url": st.just("https://example.com/b"),
            "events": st.just(["*"]),
            "description": st.none() | st.text(max_size=2),
            "concurrency": st.none() | st.integers(1, 9),
            "rate_limit": st.none() | st.just(2.5),
            "metadata": entry_patches,
            "headers": entry_patches,
        },
    ),
)
def test_a_change_is_a_json_merge_patch(
    metadata: dict[str, str], headers: dict[str, str], patch: dict[str, Any]
) -> None:
    def document(endpoint: Endpoint) -> dict[str, Any]:
        fields = {name: getattr(endpoint, name) for name in UpdateWebhook.__struct_fields__[:3]}
        fields |= {"concurrency": endpoint.concurrency, "rate_limit": endpoint.rate_limit}
        fields |= {"metadata": endpoint.metadata, "headers": dict(endpoint.headers)}
        shown = {name: value for name, value in fields.items() if value not in (None, {})}
        return shown | {"events": list(endpoint.events)}

    current = msgspec.structs.replace(ENDPOINT, metadata=metadata, headers=tuple(headers.items()))
    wanted = msgspec.json.decode(msgspec.json.encode(patch), type=UpdateWebhook)
    sealed = wanted.headers if isinstance(wanted.headers, dict) else {}

    expected = merge_patch(document(current), patch)
    changed = document(changed_by(current, wanted, 2, sealed))

    assert changed == {name: value for name, value in expected.items() if value != {}}


def test_a_header_is_replaced_whatever_the_case_of_its_name() -> None:
    current = msgspec.structs.replace(ENDPOINT, headers=(("X-Key", "k1:a"), ("X-B", "k1:b")))
    wanted = UpdateWebhook(headers={"x-KEY": "new", "x-b": None})

    changed = changed_by(current, wanted, 2, {"x-KEY": "k1:c", "x-b": None})

    assert changed.headers == (("x-KEY", "k1:c"),)


@pytest.mark.parametrize(("is_active", "paused_ms"), [(True, None), (False, 7), (UNSET, 7)])
def test_enabling_ends_a_pause(is_active: bool | UnsetType, paused_ms: int | None) -> None:
    current = msgspec.structs.replace(ENDPOINT, paused_ms=7)

    changed = changed_by(current, UpdateWebhook(is_active=is_active), 9)

    assert changed.paused_ms == paused_ms
    assert changed.epoch == current.epoch


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
