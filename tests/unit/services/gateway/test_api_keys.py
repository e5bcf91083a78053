"""API keys: nobody grants what he lacks, nobody is locked out by mistake, what ended says so."""

import contextlib
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from services.gateway.auth import (
    AUDIT_READ,
    EVENTS_WRITE,
    KEY_FRESH_MS,
    KEYS_READ,
    KEYS_WRITE,
    ROLES,
    SCOPES,
    WEBHOOKS_READ,
    Authenticator,
    Caller,
    JwtPolicy,
    digest_of,
    granted,
)
from services.gateway.errors import InvalidFields
from services.gateway.handlers import accounts, api_keys
from services.gateway.handlers.api_keys import EARLIER_MAX, KEYS_MAX, locks_out
from services.gateway.key_schemas import CreateApiKey, RotateApiKey, UpdateApiKey
from services.gateway.ports import Ports
from services.gateway.routes.api_keys import shown_key
from shared.models.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorised
from shared.models.management import ApiKey, Workspace
from shared.models.times import iso_ms
from tests.unit.services.gateway.fakes import (
    NOW_MS,
    QR3,
    Clock,
    MemoryKeys,
    MemoryWorkspaces,
    ports,
)

DAY_MS = 86_400_000
HOUR_S = 3_600
NO_TOKENS = JwtPolicy("", "hooklane")
ADMIN = CreateApiKey(name="admin", role="admin")


def caller(*scopes: str) -> Caller:
    return Caller(workspace_id="ws_a", profile=QR3, scopes=frozenset(scopes), credential="api_key")


BOSS = caller(*SCOPES)


def world(**changes: Any) -> tuple[Ports, MemoryKeys, Clock]:
    keys, clock, workspaces = MemoryKeys(), Clock(), MemoryWorkspaces()
    workspaces.known["ws_a"] = Workspace(id="ws_a", name="a", profile="qr3", created_ms=1)
    return (
        ports(api_keys=keys, now_ms=clock, workspaces=workspaces, **changes),
        keys,
        clock,
    )


def at(time_ms: int) -> str:
    return iso_ms(time_ms)


def test_the_roles_nest_and_the_admin_has_everything() -> None:
    assert ROLES["admin"] == set(SCOPES)
    assert ROLES["viewer"] < ROLES["developer"] < ROLES["admin"]
    assert not ROLES["developer"] & {KEYS_READ, KEYS_WRITE, AUDIT_READ}
    assert not any(scope.endswith(":write") for scope in ROLES["viewer"])


async def test_a_key_with_a_role_may_do_what_the_role_may() -> None:
    given, _, _ = world()
    made = await api_keys.create(given, BOSS, CreateApiKey(name="x", role="viewer"))

    found = await Authenticator(given, NO_TOKENS).caller(f"Bearer {made.secret}")

    assert found.scopes == ROLES["viewer"]
    assert (found.actor.kind, found.actor.id) == ("api_key", made.key.id)
    assert found.actor.name == made.secret[:8]


async def test_an_unknown_role_of_a_stored_key_allows_nothing() -> None:
    given, keys, _ = world()
    made = await api_keys.create(given, BOSS, ADMIN)
    keys.known[made.key.digest] = replace(made.key, role="emperor")

    assert (await Authenticator(given, NO_TOKENS).caller(f"Bearer {made.secret}")).scopes == set()


async def test_a_key_opens_until_it_expires_and_says_so_then() -> None:
    given, _, clock = world()
    wanted = CreateApiKey(name="x", role="viewer", expires_at=at(NOW_MS + DAY_MS))
    made = await api_keys.create(given, BOSS, wanted)
    authenticator = Authenticator(given, NO_TOKENS)
    await authenticator.caller(f"Bearer {made.secret}")
    clock.now_ms += DAY_MS - 1
    await authenticator.caller(f"Bearer {made.secret}")

    clock.now_ms += 1  # the key was looked up a millisecond ago
    with pytest.raises(Unauthorised, match=r"hk_\S+… has expired at .*; use a new one"):
        await authenticator.caller(f"Bearer {made.secret}")
    assert shown_key(made.key, clock.now_ms).expired
    assert not shown_key(made.key, clock.now_ms - 1).expired


async def test_a_revoked_key_opens_for_a_minute_more_at_a_gateway_that_has_seen_it() -> None:
    given, _, clock = world()
    await api_keys.create(given, BOSS, ADMIN)
    made = await api_keys.create(given, BOSS, ADMIN)
    another, managing, same = (Authenticator(given, NO_TOKENS) for _ in range(3))
    for authenticator in (another, managing, same):
        await authenticator.caller(f"Bearer {made.secret}")

    same.forget(await api_keys.revoke(given, BOSS, made.key.id))

    with pytest.raises(Unauthorised, match="was revoked at"):
        await same.caller(f"Bearer {made.secret}")
    clock.now_ms += KEY_FRESH_MS - 1
    await another.caller(f"Bearer {made.secret}")
    with pytest.raises(Unauthorised, match="was revoked at"):
        await managing.caller(f"Bearer {made.secret}", anew=True)
    clock.now_ms += 1
    with pytest.raises(Unauthorised, match="was revoked at"):
        await another.caller(f"Bearer {made.secret}")


async def test_a_rotated_key_opens_with_both_secrets_until_the_overlap_is_over() -> None:
    given, keys, clock = world()
    made = await api_keys.create(given, BOSS, ADMIN)
    authenticator = Authenticator(given, NO_TOKENS)
    await authenticator.caller(f"Bearer {made.secret}")

    rotated = await api_keys.rotate(given, BOSS, made.key.id, RotateApiKey(overlap_s=HOUR_S))

    assert rotated.secret != made.secret
    assert (rotated.key.id, rotated.key.name) == (made.key.id, "admin")
    (stored,) = keys.known.values()
    assert made.secret not in repr(stored)
    assert rotated.secret not in repr(stored)
    clock.now_ms += HOUR_S * 1_000 - 1
    for secret in (made.secret, rotated.secret):
        assert (await authenticator.caller(f"Bearer {secret}")).actor.id == made.key.id
    clock.now_ms += 1
    await authenticator.caller(f"Bearer {rotated.secret}")
    with pytest.raises(Unauthorised, match="was replaced by a rotation"):
        await authenticator.caller(f"Bearer {made.secret}")


async def test_a_rotation_without_overlap_ends_every_earlier_secret_at_once() -> None:
    given, _, _ = world()
    first = await api_keys.create(given, BOSS, ADMIN)
    second = await api_keys.rotate(given, BOSS, first.key.id, RotateApiKey(overlap_s=HOUR_S))
    await api_keys.rotate(given, BOSS, first.key.id, RotateApiKey(overlap_s=0))

    for made in (first, second):
        with pytest.raises(Unauthorised):
            await Authenticator(given, NO_TOKENS).caller(f"Bearer {made.secret}")


async def test_overlaps_are_bounded_in_time_and_number() -> None:
    given, _, _ = world()
    made = await api_keys.create(given, BOSS, ADMIN)

    for wrong in (-1, 7 * 86_400 + 1):
        with pytest.raises(Invalid, match="0 to 604800 seconds"):
            await api_keys.rotate(given, BOSS, made.key.id, RotateApiKey(overlap_s=wrong))
    for _ in range(EARLIER_MAX):
        await api_keys.rotate(given, BOSS, made.key.id, RotateApiKey(overlap_s=HOUR_S))
    with pytest.raises(Conflict, match="rotate with overlap_s 0"):
        await api_keys.rotate(given, BOSS, made.key.id, RotateApiKey(overlap_s=HOUR_S))


async def test_the_last_key_that_manages_keys_for_good_stays() -> None:
    given, _, clock = world()
    last = (await api_keys.create(given, BOSS, ADMIN)).key
    soon = at(NOW_MS + DAY_MS)
    await api_keys.create(given, BOSS, CreateApiKey(name="t", role="admin", expires_at=soon))
    await api_keys.create(given, BOSS, CreateApiKey(name="d", role="developer"))

    refused = [
        api_keys.revoke(given, BOSS, last.id),
        api_keys.change(given, BOSS, last.id, UpdateApiKey(role="viewer")),
        api_keys.change(given, BOSS, last.id, UpdateApiKey(expires_at=soon)),
    ]
    for call in refused:
        with pytest.raises(Conflict, match="make another one with the role 'admin' first"):
            await call
    await api_keys.rotate(given, BOSS, last.id, RotateApiKey(overlap_s=0))
    await api_keys.create(given, BOSS, ADMIN)
    await api_keys.revoke(given, BOSS, last.id)
    assert clock.now_ms == NOW_MS


async def test_two_who_revoke_each_others_key_at_once_do_not_lock_the_workspace_out() -> None:
    class Racing(MemoryKeys):
        """Has somebody revoke the other key between our look and our change."""

        rival: ApiKey | None = None

        async def replace(self, standing: ApiKey, key: ApiKey) -> ApiKey | None:
            rival, self.rival = self.rival, None
            if rival is not None:
                await super().replace(rival, replace(rival, revoked_ms=NOW_MS))
            return await super().replace(standing, key)

    keys = Racing()
    given = ports(api_keys=keys)
    mine, theirs = [(await api_keys.create(given, BOSS, ADMIN)).key for _ in range(2)]
    keys.rival = mine

    with pytest.raises(Conflict, match="no key would be left"):
        await api_keys.revoke(given, BOSS, theirs.id)
    assert [key.id for key in await keys.of_workspace("ws_a")] == [theirs.id]


async def test_what_a_key_cannot_be_is_named() -> None:
    given, _, _ = world()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": "", "role": "viewer"}, "name: a name has 1 to 200"),
        ({"name": "x", "role": "king"}, "role: 'king' is no role; known: admin, developer, viewer"),
        ({"name": "x"}, "role: is missing; send a role, or scopes"),
        ({"name": "x", "role": "viewer", "scopes": [WEBHOOKS_READ]}, "scopes: a key has a role or"),
        ({"name": "x", "scopes": []}, "scopes: is empty"),
        ({"name": "x", "scopes": ["root"]}, r"scopes\[0\]: 'root' is not a scope; known: webhooks"),
    ]
    for fields, words in wrong:
        with pytest.raises(InvalidFields, match=words):
            await api_keys.create(given, BOSS, CreateApiKey(**fields))
    for time in ("2020-01-01T00:00:00Z", "tomorrow"):
        with pytest.raises(Invalid) as refused:
            await api_keys.create(
                given, BOSS, CreateApiKey(name="x", role="viewer", expires_at=time)
            )
        assert refused.value.field == "expires_at"


async def test_a_workspace_has_so_many_keys_at_most() -> None:
    given, _, _ = world()
    for _ in range(KEYS_MAX):
        await api_keys.create(given, BOSS, ADMIN)

    with pytest.raises(Conflict, match="revoke one that nobody uses"):
        await api_keys.create(given, BOSS, ADMIN)


async def test_keys_are_listed_newest_first_in_pages() -> None:
    given, _, clock = world()
    made = []
    for _ in range(3):
        clock.now_ms += 1
        made.append((await api_keys.create(given, BOSS, ADMIN)).key)

    first, after = await api_keys.page(given, BOSS, limit=2, before=None)
    second, end = await api_keys.page(given, BOSS, limit=2, before=after)

    assert [key.id for key in (*first, *second)] == [key.id for key in reversed(made)]
    assert end is None
    with pytest.raises(NotFound, match="no API key 'key_nobody'"):
        await api_keys.get(given, BOSS, "key_nobody")


async def test_a_change_tells_the_trail_what_it_was_and_is() -> None:
    given, _, _ = world()
    boss = replace(BOSS, trail=type(BOSS.trail)())
    made = await api_keys.create(given, boss, CreateApiKey(name="x", scopes=[EVENTS_WRITE]))
    await api_keys.change(given, boss, made.key.id, UpdateApiKey(role="viewer"))

    told = {change.field: (change.before, change.after) for change in boss.trail.changes}
    assert told == {"role": (None, "viewer"), "scopes": ((EVENTS_WRITE,), ())}
    assert boss.trail.object_id == made.key.id


async def test_uses_are_collected_and_written_once_for_each_key() -> None:
    given, keys, clock = world()
    key = await accounts.create_api_key(given, workspace_id="ws_a")
    authenticator = Authenticator(given, NO_TOKENS)
    for _ in range(3):
        clock.now_ms += 1
        await authenticator.caller(f"Bearer {key}")
    assert keys.used_ms == {}

    keys.away = True
    with pytest.raises(Exception, match="MongoDB"):
        await authenticator.uses.flush()
    keys.away = False
    await authenticator.uses.flush()

    assert keys.used_ms == {digest_of(key): NOW_MS + 3}


KEYS = st.builds(
    ApiKey,
    id=st.uuids().map(str),
    digest=st.uuids().map(str),
    hint=st.just("hk_abcde"),
    workspace_id=st.just("ws_a"),
    scopes=st.sets(st.sampled_from(list(SCOPES))).map(tuple),
    created_ms=st.just(1),
    role=st.sampled_from([None, *ROLES]),
    expires_ms=st.sampled_from([None, NOW_MS - 1, NOW_MS + DAY_MS]),
    revoked_ms=st.sampled_from([None, None, NOW_MS]),
)


def managers_until(keys: list[ApiKey]) -> set[float]:
    """Return when keys end that can manage keys now: the model of ``locks_out``."""
    return {
        inf if key.expires_ms is None else key.expires_ms
        for key in keys
        if KEYS_WRITE in granted(key)
        and key.revoked_ms is None
        and (key.expires_ms is None or key.expires_ms > NOW_MS)
    }


@given(st.lists(KEYS, max_size=4), st.lists(KEYS, max_size=4))
def test_what_is_not_refused_leaves_somebody_who_can_manage_keys(
    before: list[ApiKey], after: list[ApiKey]
) -> None:
    refused = locks_out(before, after, NOW_MS)

    had, has = managers_until(before), managers_until(after)
    assert refused == (bool(had) and (not has or (inf in had and inf not in has)))


CHOICES = st.one_of(
    st.sampled_from(list(ROLES)),
    st.sets(st.sampled_from(list(SCOPES)), min_size=1).map(sorted),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "change", "rotate", "revoke"]),
        st.integers(0, 5),  # whose credential of those that the chain got hold of
        st.integers(0, 7),  # which key
        CHOICES,
    ),
    max_size=12,
)


@settings(max_examples=30)
@given(st.sets(st.sampled_from(list(SCOPES))), STEPS)
async def test_scopes_never_grow_however_calls_are_chained(
    own: set[str], steps: list[tuple[str, int, int, Any]]
) -> None:
    """Whoever begins with some scopes gets no more, and keys that have more stay as they are."""
    given, keys, _ = world()
    await api_keys.create(given, BOSS, ADMIN)
    await api_keys.create(given, BOSS, CreateApiKey(name="x", role="viewer"))
    may = {*own, KEYS_WRITE}
    beyond = {digest: key for digest, key in keys.known.items() if not granted(key) <= may}
    authenticator = Authenticator(given, NO_TOKENS)
    held: list[str] = []
    for step, who, which, choice in steps:
        acting = caller(*may)
        if held and who:
            with contextlib.suppress(Unauthorised):  # revoked, or rotated away
                acting = await authenticator.caller(f"Bearer {held[who % len(held)]}", anew=True)
        assert acting.scopes <= may
        listed = await given.api_keys.of_workspace("ws_a")
        target = listed[which % len(listed)].id
        role: Any = choice if isinstance(choice, str) else None
        scopes: Any = choice if role is None else None
        with contextlib.suppress(Forbidden, Conflict):
            if step == "create":
                wanted = CreateApiKey(name="x", role=role, scopes=scopes)
                held.append((await api_keys.create(given, acting, wanted)).secret)
            elif step == "change":
                changes = UpdateApiKey(role=role or UNSET, scopes=scopes or UNSET)
                await api_keys.change(given, acting, target, changes)
            elif step == "rotate":
                made = await api_keys.rotate(given, acting, target, RotateApiKey(overlap_s=0))
                held.append(made.secret)
            else:
                await api_keys.revoke(given, acting, target)
        left = await given.api_keys.of_workspace("ws_a")
        assert any(KEYS_WRITE in granted(key) for key in left)
        for digest, key in keys.known.items():
            assert granted(key) <= may or beyond.get(digest) == key


async def test_a_key_that_may_do_more_than_the_caller_cannot_be_touched() -> None:
    given, keys, _ = world()
    strong = (await api_keys.create(given, BOSS, ADMIN)).key
    weak = (await api_keys.create(given, BOSS, CreateApiKey(name="x", role="viewer"))).key
    manager = caller(KEYS_WRITE, *ROLES["viewer"])

    for call in (
        api_keys.change(given, manager, strong.id, UpdateApiKey(role="viewer")),
        api_keys.change(given, manager, strong.id, UpdateApiKey(name="y")),
        api_keys.change(given, manager, weak.id, UpdateApiKey(role="admin")),
        api_keys.change(given, manager, weak.id, UpdateApiKey(scopes=[EVENTS_WRITE])),
        api_keys.rotate(given, manager, strong.id, RotateApiKey()),
        api_keys.revoke(given, manager, strong.id),
    ):
        with pytest.raises(Forbidden, match=r"scope '\S+', which you lack yourself"):
            await call
    assert list(keys.known.values()) == [strong, weak]
    await api_keys.revoke(given, manager, weak.id)
