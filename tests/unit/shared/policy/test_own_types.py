"""Event types of a workspace's own: aliases and renames keep subscribers, archived ones end."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared.models.endpoints import EndpointState, TypeNames, WorkspaceState, encode_state
from shared.policy.matching import Registry
from shared.profiles.profile import load_profiles
from shared.topics import DEFAULT_TIERS, Tiers

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
QR3 = PROFILES["qr3"]
NAMES = ("order.created", "order.made", "order.new", "qr.scanned", "scan.created", "*")


def workspace(*types: TypeNames, revision: int = 1) -> WorkspaceState:
    return WorkspaceState(id="ws_1", profile="qr3", types=types, revision=revision)


def endpoint(number: int, *events: str, revision: int = 1) -> EndpointState:
    return EndpointState(
        id=f"wh_{number}",
        workspace_id="ws_1",
        profile="qr3",
        url="https://example.com/",
        events=events,
        secret="",
        revision=revision,
    )


def published(registry: Registry, name: str) -> tuple[str, list[str]] | None:
    """Return the canonical name and the endpoints of an event as fan-out finds them."""
    profile = registry.profile_of("ws_1")
    if profile is None or profile.unknown_reason(name) is not None:
        return None
    canonical = profile.canonical(name)
    return canonical, sorted(one.id for one in registry.match("ws_1", canonical))


def registry_of(*states: EndpointState | WorkspaceState) -> Registry:
    registry = Registry(PROFILES)
    for state in states:
        registry.apply(state.id, encode_state(state))
    return registry


def test_a_type_of_ones_own_is_known_besides_the_products() -> None:
    registry = registry_of(workspace(TypeNames("order.created")), endpoint(1, "order.created"))

    assert published(registry, "order.created") == ("order.created", ["wh_1"])
    assert published(registry, "qr.scanned") == ("qr.scanned", [])
    assert published(registry_of(workspace()), "order.created") is None


def test_after_a_rename_old_and_new_subscribers_get_events_of_both_names() -> None:
    registry = registry_of(
        workspace(TypeNames("order.created")),
        endpoint(1, "order.created"),
        endpoint(2, "*"),
        workspace(TypeNames("order.made", ("order.created",)), revision=2),
        endpoint(3, "order.made"),
    )

    for name in ("order.created", "order.made"):
        assert published(registry, name) == ("order.made", ["wh_1", "wh_2", "wh_3"])


def test_a_rename_leaves_nothing_behind_under_the_old_name() -> None:
    registry = registry_of(
        endpoint(1, "order.created"),
        workspace(TypeNames("order.made", ("order.created",))),
    )
    registry.apply("wh_1", None)
    registry.apply("ws_1", encode_state(workspace(TypeNames("order.created"), revision=2)))

    assert published(registry, "order.created") == ("order.created", [])


def test_an_archived_type_takes_no_events_and_no_subscriptions() -> None:
    extended = QR3.extended([TypeNames("order.created", ("order.made",), archived=True)])

    for name in ("order.created", "order.made"):
        assert "is archived" in (extended.unknown_reason(name) or "")
    assert "'order" not in (extended.unknown_reason("order-creatd") or "").partition(";")[2]


def test_what_is_unknown_is_compared_with_ones_own_names_too() -> None:
    extended = QR3.extended([TypeNames("order.created", ("order.made",))])

    assert "did you mean 'order.made'" in (extended.unknown_reason("order.mad") or "")


def test_a_name_that_the_product_has_means_what_the_product_says() -> None:
    extended = QR3.extended(
        [TypeNames("qr.scanned", ("order.made",), archived=True), TypeNames("a.b", ("qr.created",))]
    )

    assert extended.unknown_reason("qr.scanned") is None
    assert extended.canonical("qr.created") == "qr.created"
    assert extended.canonical("scan.created") == "qr.scanned"


def test_a_workspace_without_types_of_its_own_has_its_products_profile() -> None:
    assert QR3.extended([]) is QR3


own = st.lists(
    st.builds(
        TypeNames,
        st.sampled_from(NAMES[:4]),
        st.lists(st.sampled_from(NAMES[:4]), max_size=2).map(tuple),
        st.booleans(),
    ),
    max_size=3,
).map(tuple)
workspaces = own.map(lambda types: workspace(*types))
endpoints = st.builds(
    lambda number, events: endpoint(number, *events),
    st.integers(1, 3),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
)


@given(history=st.lists(workspaces | endpoints | st.just("ws_1") | st.just("wh_1"), max_size=12))
def test_no_history_bends_the_index(history: list[EndpointState | WorkspaceState | str]) -> None:
    """Whatever came before, matching is that of a registry which read the last states only."""
    registry = Registry(PROFILES)
    last: dict[str, bytes | None] = {}
    for revision, entry in enumerate(history, 1):
        key = entry if isinstance(entry, str) else entry.id
        value = (
            None
            if isinstance(entry, str)
            else encode_state(msgspec.structs.replace(entry, revision=revision))
        )
        registry.apply(key, value)
        last[key] = value
    fresh = Registry(PROFILES)
    for key, value in last.items():
        fresh.apply(key, value)

    for name in NAMES[:-1]:
        assert published(registry, name) == published(fresh, name)
