"""Matching: who gets an event, and an index that a history of changes cannot bend."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from shared.models.endpoints import EndpointState, TypeNames, WorkspaceState, encode_state
from shared.models.operational import OPERATIONAL
from shared.policy import matching
from shared.policy.explaining import explain
from shared.policy.matching import Registry, names_of
from shared.profiles.profile import load_profiles
from shared.rendering.javascript import validate
from shared.topics import DEFAULT_TIERS, Tiers

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))


def endpoint(
    identifier: str = "wh_1",
    *events: str,
    workspace: str = "ws_1",
    profile: str = "qr3",
    active: bool = True,
    revision: int = 1,
) -> EndpointState:
    return EndpointState(
        id=identifier,
        workspace_id=workspace,
        profile=profile,
        url="https://example.com/",
        events=events or ("qr.scanned",),
        secret="",
        active=active,
        revision=revision,
    )


def registry(*states: EndpointState | WorkspaceState) -> Registry:
    made = Registry(PROFILES)
    for state in states:
        made.apply(state.id, encode_state(state))
    return made


def matched(made: Registry, event_type: str = "qr.scanned", workspace: str = "ws_1") -> list[str]:
    return sorted(state.id for state in made.match(workspace, event_type))


def test_an_event_reaches_the_endpoints_of_its_workspace_that_subscribed_its_type() -> None:
    made = registry(
        endpoint("wh_1", "qr.scanned"),
        endpoint("wh_2", "qr.created"),
        endpoint("wh_3", "qr.scanned", workspace="ws_2"),
        endpoint("wh_4", "qr.created", "qr.scanned"),
    )
    assert matched(made) == ["wh_1", "wh_4"]
    assert matched(made, workspace="ws_2") == ["wh_3"]
    assert matched(made, workspace="ws_3") == []
    assert matched(made, "qr.deleted") == []


def test_a_star_subscribes_everything() -> None:
    made = registry(endpoint("wh_1", "*"), endpoint("wh_2", "qr.created"))
    assert matched(made) == ["wh_1"]
    assert matched(made, "qr.created") == ["wh_1", "wh_2"]
    assert matched(made, "invented.later") == ["wh_1"]


@pytest.mark.parametrize("event_type", OPERATIONAL)
def test_an_operational_event_reaches_who_has_named_it_and_nobody_else(event_type: str) -> None:
    first = event_type.partition(".")[0]
    made = registry(
        endpoint("wh_1", "*", f"{first}.*", profile="xqr"),
        endpoint("wh_2", event_type),
        endpoint("wh_3", "*", event_type),
    )
    assert matched(made, event_type) == ["wh_2", "wh_3"]
    assert matched(made) == ["wh_1", "wh_3"]
    assert names_of(PROFILES["xqr"], event_type) == (event_type,)


def test_an_operational_event_may_be_chosen_by_its_data_and_is_on_no_channel() -> None:
    named = endpoint("wh_1", "endpoint.disabled")
    made = registry(
        replace(named, filter='{"webhook_id":"wh_9"}'),
        replace(named, id="wh_2", filter='{"webhook_id":"wh_8"}'),
        replace(named, id="wh_3", channels=("eu",)),
    )
    told = Given(data=b'{"webhook_id":"wh_9"}')
    assert [one.id for one in made.match("ws_1", "endpoint.disabled", told)] == ["wh_1"]


def test_a_type_its_alias_and_a_star_are_one_subscription() -> None:
    """The endpoint gets the event once."""
    made = registry(endpoint("wh_1", "qr.scanned", "scan.created", "*", "qr.scanned"))
    assert len(made.match("ws_1", "qr.scanned")) == 1


def test_an_alias_subscribes_the_canonical_type() -> None:
    assert matched(registry(endpoint("wh_1", "scan.created"))) == ["wh_1"]


def test_a_type_is_found_by_each_of_its_names() -> None:
    names = names_of(PROFILES["qr3"], "scan.created")
    assert names == ("qr.scanned", "scan.created", "qr.*", "scan.*", "*")
    assert names_of(PROFILES["qr3"], "qr.scanned") == names


def test_the_alias_is_that_of_the_endpoints_profile() -> None:
    """In another product ``scan.created`` is a type like any other."""
    made = registry(endpoint("wh_1", "scan.created", profile="xqr"))
    assert matched(made) == []
    assert matched(made, "scan.created") == ["wh_1"]


def test_a_pattern_subscribes_what_is_below_it_however_deep() -> None:
    made = registry(
        endpoint("wh_1", "order.*", profile="xqr"),
        endpoint("wh_2", "order.item.*", profile="xqr"),
        endpoint("wh_3", "order.*", "order.item.added", "*", profile="xqr"),
    )
    assert matched(made, "order.created") == ["wh_1", "wh_3"]
    assert matched(made, "order.item.added") == ["wh_1", "wh_2", "wh_3"]
    assert matched(made, "orders.created") == ["wh_3"]
    assert matched(made, "order") == ["wh_3"]


def test_a_pattern_subscribes_a_type_by_its_alias_too() -> None:
    made = registry(endpoint("wh_1", "scan.*"), endpoint("wh_2", "qr.*"))
    assert matched(made) == ["wh_1", "wh_2"]
    assert matched(made, "qr.created") == ["wh_2"]


class Given(NamedTuple):
    """What an event holds."""

    channels: tuple[str, ...] = ()
    data: bytes = b"{}"


def chosen(made: Registry, content: Given) -> list[str]:
    return sorted(state.id for state in made.match("ws_1", "qr.scanned", content))


def test_channels_and_filters_narrow_what_an_endpoint_gets() -> None:
    made = registry(
        endpoint("wh_1"),
        replace(endpoint("wh_2"), channels=("eu", "us")),
        replace(endpoint("wh_3"), filter='{"n":{"$gt":1}}'),
        replace(endpoint("wh_4"), channels=("eu",), filter='{"n":{"$gt":1}}'),
    )
    assert chosen(made, Given()) == ["wh_1"]
    assert chosen(made, Given(("us",))) == ["wh_1", "wh_2"]
    assert chosen(made, Given(("jp",), b'{"n":2}')) == ["wh_1", "wh_3"]
    assert chosen(made, Given(("jp", "eu"), b'{"n":2}')) == ["wh_1", "wh_2", "wh_3", "wh_4"]


@pytest.mark.parametrize(
    "data",
    [
        b'{"n":2,"s":"\\ud800"}',
        b'{"n":2,"s":"\\ud800","long":' + b"9" * 5_000 + b"}",
        b'{"n":2,"s":"\\ud800","big":1e999}',
        b'{"n":2,"deep":' + b"[" * 499 + b"]" * 499 + b"}",
    ],
)
def test_whatever_may_be_published_can_be_filtered(data: bytes) -> None:
    """An exception here would stop a partition of events."""
    validate(data)
    made = registry(replace(endpoint("wh_1"), filter='{"n":2,"long":{"$ne":{"a":[1]}}}'))
    assert chosen(made, Given(data=data)) == ["wh_1"]


def test_without_a_restriction_the_answer_is_the_remembered_one() -> None:
    made = registry(endpoint("wh_1"), replace(endpoint("wh_2", "qr.created"), channels=("eu",)))
    first = made.match("ws_1", "qr.scanned", Given())
    assert made.match("ws_1", "qr.scanned", Given(("us",), b"not even JSON")) is first


def test_a_workspaces_own_names_are_found_by_patterns_and_keep_what_was_chosen() -> None:
    made = registry(
        WorkspaceState(id="ws_1", profile="qr3"),
        endpoint("wh_1", "order.*"),
        replace(endpoint("wh_2", "order.*"), channels=("eu",)),
    )
    own = TypeNames("purchase.made", aliases=("order.placed",))
    made.apply(
        "ws_1",
        encode_state(WorkspaceState(id="ws_1", profile="qr3", revision=2, types=(own,))),
    )
    assert matched(made, "purchase.made") == ["wh_1"]
    found = made.match("ws_1", "purchase.made", Given(("eu",)))
    assert sorted(state.id for state in found) == ["wh_1", "wh_2"]


def test_a_filter_that_cannot_be_read_leaves_the_former_state() -> None:
    made = registry(replace(endpoint("wh_1", revision=1), filter='{"n":1}'))
    later = replace(endpoint("wh_1", revision=2), filter='{"n":{"$later":1}}')
    with pytest.raises(msgspec.DecodeError, match=r"\$later is not an operator"):
        made.apply("wh_1", encode_state(later))
    assert made.endpoints["wh_1"].revision == 1
    assert chosen(made, Given(data=b'{"n":1}')) == ["wh_1"]


@given(
    names=st.lists(st.sampled_from(["qr.scanned", "qr.created", "scan.*", "qr.*", "*"])),
    channels=st.sampled_from([(), ("eu",)]),
    document=st.sampled_from([None, '{"n":1}', '{"$not":{"n":1}}']),
    active=st.booleans(),
    on=st.sampled_from([(), ("eu",), ("us", "eu")]),
    data=st.sampled_from([b"{}", b'{"n":1}']),
)
def test_what_is_explained_is_what_happens(
    *,
    names: list[str],
    channels: tuple[str, ...],
    document: str | None,
    active: bool,
    on: tuple[str, ...],
    data: bytes,
) -> None:
    state = replace(
        endpoint("wh_1", active=active), events=tuple(names), channels=channels, filter=document
    )
    content = Given(on, data)
    for name in ("qr.scanned", "scan.created", "qr.deleted"):
        criteria = explain(state, PROFILES["qr3"], name, content)
        found = registry(state).match("ws_1", PROFILES["qr3"].canonical(name), content)
        assert all(one.matches for one in criteria) is bool(found)
        assert [one.criterion for one in criteria] == ["active", "type", "channels", "filter"]
        assert all(one.reason for one in criteria)


def test_an_inactive_endpoint_gets_nothing_but_is_known() -> None:
    made = registry(endpoint("wh_1", active=False))
    assert matched(made) == []
    assert not made.endpoints["wh_1"].active


def test_a_change_takes_effect_with_its_record() -> None:
    made = registry(endpoint("wh_1", "qr.scanned"))
    assert matched(made) == ["wh_1"]
    made.apply("wh_1", encode_state(endpoint("wh_1", "qr.created", revision=2)))
    assert matched(made) == []
    assert matched(made, "qr.created") == ["wh_1"]
    assert made.match("ws_1", "qr.created")[0].revision == 2


def test_an_older_revision_is_ignored_and_the_same_is_taken_again() -> None:
    """A slow publisher may write it after the newer one; a sweeper writes the same twice."""
    made = registry(endpoint("wh_1", "qr.created", revision=5))
    made.apply("wh_1", encode_state(endpoint("wh_1", "qr.scanned", revision=4)))
    assert matched(made, "qr.created") == ["wh_1"]
    made.apply("wh_1", encode_state(endpoint("wh_1", "qr.scanned", revision=5)))
    assert matched(made) == ["wh_1"]


def test_an_older_revision_of_a_workspace_is_ignored() -> None:
    made = registry(WorkspaceState(id="ws_1", profile="qr3", revision=2))
    made.apply("ws_1", encode_state(WorkspaceState(id="ws_1", profile="xqr", revision=1)))
    assert made.workspaces["ws_1"].profile == "qr3"


def test_a_tombstone_forgets() -> None:
    made = registry(endpoint("wh_1"), WorkspaceState(id="ws_1", profile="qr3"))
    made.apply("wh_1", None)
    made.apply("ws_1", None)
    made.apply("wh_unknown", None)
    assert matched(made) == []
    assert not made.endpoints
    assert not made.workspaces
    assert not made._index  # workspaces come and go for years


def test_a_workspaces_profile_is_known_before_its_first_endpoint() -> None:
    """Fan-out tells an unknown workspace from an empty one."""
    made = registry(
        WorkspaceState(id="ws_1", profile="qr3"), WorkspaceState(id="ws_2", profile="retired")
    )
    assert made.profile_of("ws_1") is PROFILES["qr3"]
    assert made.profile_of("ws_2") is None
    assert made.profile_of("ws_3") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wh_1", b""),
        ("wh_1", b"{}"),
        ("wh_1", b"\xff"),
        ("", encode_state(endpoint("wh_1"))),
        ("wh_2", encode_state(endpoint("wh_1"))),
    ],
)
def test_what_is_no_state_is_an_error_and_changes_nothing(key: str, value: bytes) -> None:
    made = registry(endpoint("wh_1"), endpoint("wh_2"))
    with pytest.raises(msgspec.DecodeError):
        made.apply(key, value)
    assert matched(made) == ["wh_1", "wh_2"]


def test_invented_types_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open catalogue lets producers name types as they like."""
    monkeypatch.setattr(matching, "TYPES_REMEMBERED_MAX", 10)
    made = registry(endpoint("wh_1", "*", profile="xqr"))
    for number in range(100):
        assert matched(made, f"invented.{number}") == ["wh_1"]
    assert len(made._index["ws_1"].matched) <= 10


IDS = st.sampled_from(["wh_1", "wh_2", "wh_3"])
WORKSPACES = st.sampled_from(["ws_1", "ws_2"])
NAMES = ["qr.scanned", "scan.created", "qr.created", "*"]


class History(RuleBasedStateMachine):
    """Any history of changes leaves the index that a fresh start would build."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(PROFILES)
        self.latest: dict[str, EndpointState] = {}
        self.revisions = count(10)

    @rule(
        identifier=IDS,
        workspace=WORKSPACES,
        events=st.lists(st.sampled_from(NAMES), max_size=4),
        profile=st.sampled_from(["qr3", "xqr", "retired"]),
        active=st.booleans(),
        age=st.integers(0, 5),
        channels=st.sampled_from([(), (), ("eu",)]),
        document=st.sampled_from([None, None, '{"n":1}']),
    )
    def change(
        self,
        *,
        identifier: str,
        workspace: str,
        events: list[str],
        profile: str,
        active: bool,
        age: int,
        channels: tuple[str, ...],
        document: str | None,
    ) -> None:
        state = EndpointState(
            id=identifier,
            workspace_id=workspace,
            profile=profile,
            url="",
            events=tuple(events),
            secret="",
            active=active,
            revision=next(self.revisions) - age,
            channels=channels,
            filter=document,
        )
        self.registry.apply(identifier, encode_state(state))
        known = self.latest.get(identifier)
        if known is None or known.revision <= state.revision:
            self.latest[identifier] = state

    @rule(identifier=IDS)
    def delete(self, identifier: str) -> None:
        self.registry.apply(identifier, None)
        self.latest.pop(identifier, None)

    @rule(workspace=WORKSPACES, event_type=st.sampled_from(NAMES))
    def ask(self, workspace: str, event_type: str) -> None:
        """Fill the remembered matches, so that a stale one would show."""
        self.registry.match(workspace, event_type)

    @invariant()
    def matches_are_those_of_the_naive_model(self) -> None:
        for workspace in ("ws_1", "ws_2"):
            for event_type in ("qr.scanned", "scan.created", "qr.created", "other"):
                for content in (Given(), Given(("eu",)), Given(("eu",), b'{"n":1}')):
                    found = self.registry.match(workspace, event_type, content)
                    naive = self._naive(workspace, event_type, content)
                    assert {state.id: state for state in found} == naive
                    assert len(naive) == len(found)

    @invariant()
    def nothing_is_kept_for_what_is_gone(self) -> None:
        assert self.registry.endpoints == self.latest
        fresh = registry(*self.latest.values())
        assert self._index(self.registry) == self._index(fresh)

    def _naive(self, workspace: str, event_type: str, content: Given) -> dict[str, EndpointState]:
        return {
            state.id: state
            for state in self.latest.values()
            if state.active
            and state.workspace_id == workspace
            and {event_type, "*"} & {self._canonical(state, name) for name in state.events}
            and (not state.channels or content.channels)
            and (state.filter is None or content.data == b'{"n":1}')
        }

    @staticmethod
    def _canonical(state: EndpointState, name: str) -> str:
        profile = PROFILES.get(state.profile)
        return name if profile is None else profile.canonical(name)

    @staticmethod
    def _index(made: Registry) -> dict[str, dict[str, dict[str, EndpointState]]]:
        return {name: found.by_type for name, found in made._index.items() if found.by_type}


History.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestHistory = History.TestCase
