"""Rotating secrets: what overlaps with what, what is refused, what a caller sees of it."""

from __future__ import annotations

import base64
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.errors import InvalidFields
from services.gateway.handlers import endpoints, signing
from services.gateway.idempotency import Origin
from services.gateway.ports import Ports
from services.gateway.schemas import CreateWebhook, RotateSecret, UpdateWebhook
from shared.models.errors import Conflict, NotFound
from shared.models.management import Endpoint
from shared.models.times import iso_ms
from shared.profiles.profile import Profile
from tests.unit.services.gateway.fakes import QR3, STANDARD, Clock, caller, ports

DAY_S = 86_400
A, B, C = "the-secret-called-a", "the-secret-called-b", "the-secret-called-c"
WHSEC = "whsec_" + base64.b64encode(bytes(32)).decode()


class MemoryEndpoints:
    """Endpoints by id, without revisions."""

    def __init__(self) -> None:
        self.known: dict[str, Endpoint] = {}

    async def create(self, endpoint: Endpoint) -> Endpoint:
        self.known[endpoint.id] = endpoint
        return endpoint

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint | None:
        found = self.known.get(endpoint_id)
        return found if found is not None and found.workspace_id == workspace_id else None

    async def find(self, endpoint_id: str) -> Endpoint | None:
        return self.known.get(endpoint_id)

    async def replace(self, endpoint: Endpoint) -> Endpoint:
        return await self.create(endpoint)


class World:
    """A gateway's ports and one endpoint with the secret ``A``, or what is ``wanted``."""

    def __init__(self, profile: Profile = QR3) -> None:
        self.clock = Clock()
        self.ports: Ports = ports(endpoints=MemoryEndpoints(), now_ms=self.clock)
        self.caller = caller(profile)
        self.id = ""

    async def create(self, **wanted: object) -> str | None:
        given = {"url": "https://example.com/", "events": ["*"], **wanted}
        made, secret = await endpoints.create(
            self.ports,
            self.caller,
            msgspec.convert(given, CreateWebhook),
            Origin(self.clock(), lambda _: ""),
        )
        self.id = made.id
        return secret

    async def rotate(self, **wanted: object) -> list[signing.Shown]:
        return await signing.rotate(
            self.ports, self.caller, self.id, msgspec.convert(wanted, RotateSecret)
        )

    async def stored(self) -> Endpoint:
        return await endpoints.get(self.ports, self.caller, self.id)

    async def signing(self) -> list[tuple[str | None, float | None]]:
        """Return each secret that signs, with the seconds that it has left."""
        shown = await signing.show(self.ports, self.caller, self.id)
        now_ms = self.clock.now_ms
        return [
            (one.secret, None if one.until_ms is None else (one.until_ms - now_ms) / 1000)
            for one in shown
        ]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.create(secret=A)
    return made


async def test_the_old_secret_signs_for_a_day_besides_when_nothing_is_said(world: World) -> None:
    await world.rotate()

    (new, _), (old, left_s) = await world.signing()
    assert (old, left_s) == (A, DAY_S)
    assert new not in (None, A)
    assert len(str(new)) == 64
    world.clock.now_ms += DAY_S * 1000
    assert await world.signing() == [(new, None)]


async def test_each_secret_is_sealed_for_this_endpoint(world: World) -> None:
    await world.rotate(secret=B)

    stored = await world.stored()
    assert world.ports.keyring.open(stored.secret, world.id) == B
    assert [world.ports.keyring.open(old.secret, world.id) for old in stored.earlier] == [A]
    assert A not in msgspec.json.encode(stored).decode()
    assert B not in msgspec.json.encode(stored).decode()
    assert stored.secret_hint == "the-…"


async def test_without_an_overlap_nothing_but_the_new_secret_signs(world: World) -> None:
    """Whatever was rotated before: that is what a leak needs."""
    await world.rotate(secret=B)
    await world.rotate(secret=C, overlap_s=0)

    assert await world.signing() == [(C, None)]


async def test_no_secret_outlives_the_overlap_that_was_chosen_last(world: World) -> None:
    await world.rotate(secret=B, overlap_s=100)
    world.clock.now_ms += 10_000
    await world.rotate(secret=C, overlap_s=20)

    assert await world.signing() == [(C, None), (B, 20), (A, 20)]


async def test_a_longer_overlap_does_not_prolong_an_earlier_one(world: World) -> None:
    await world.rotate(secret=B, overlap_s=20)
    await world.rotate(secret=C, overlap_s=100)

    assert await world.signing() == [(C, None), (B, 100), (A, 20)]


async def test_repeating_a_call_that_gave_the_secret_changes_nothing(world: World) -> None:
    """Its caller may have got no answer."""
    await world.rotate(secret=B, overlap_s=100)
    world.clock.now_ms += 10_000
    await world.rotate(secret=B, overlap_s=100)

    assert await world.signing() == [(B, None), (A, 90)]


async def test_the_current_secret_without_overlap_ends_an_overlap(world: World) -> None:
    await world.rotate(secret=B)
    await world.rotate(secret=B, overlap_s=0)

    assert await world.signing() == [(B, None)]


async def test_going_back_to_an_earlier_secret_makes_it_the_newest(world: World) -> None:
    await world.rotate(secret=B, overlap_s=100)
    await world.rotate(secret=A, overlap_s=100)

    assert await world.signing() == [(A, None), (B, 100)]


async def test_there_is_an_end_to_how_many_secrets_sign_at_once(world: World) -> None:
    for number in range(signing.EARLIER_MAX):
        await world.rotate(secret=f"another-secret-{number}", overlap_s=10 + number)

    with pytest.raises(Conflict, match="5 earlier secrets still sign") as error:
        await world.rotate(secret=B, overlap_s=60)

    assert error.value.field == "overlap_s"
    assert f"until {iso_ms(world.clock.now_ms + 10_000)}; rotate after that" in error.value.detail
    assert len(await world.signing()) == 1 + signing.EARLIER_MAX
    world.clock.now_ms += 10_000  # the first one is over
    await world.rotate(secret=B, overlap_s=60)
    assert len(await world.signing()) == 1 + signing.EARLIER_MAX


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 7 * DAY_S), st.integers(0, DAY_S)), max_size=12
    )
)
async def test_the_laws_of_overlaps(steps: list[tuple[int, int, int]]) -> None:
    """Any rotations at any times: no promise is broken, and older secrets never end later."""
    world = World()
    await world.create(secret="secret-of-number-0")
    for number, overlap_s, wait_s in steps:
        before = await world.signing()
        try:
            await world.rotate(secret=f"secret-of-number-{number}", overlap_s=overlap_s)
        except Conflict:
            assert await world.signing() == before
            continue
        newest, *earlier = await world.signing()
        assert newest == (f"secret-of-number-{number}", None)
        ends_s = [left_s for _, left_s in earlier if left_s is not None]
        assert all(0 < end_s <= overlap_s for end_s in ends_s)
        assert all(newer >= older for newer, older in pairwise(ends_s))
        signed = {secret for secret, _ in earlier} | {newest[0]}
        if overlap_s > 0:
            assert {secret for secret, _ in before} <= signed
        world.clock.now_ms += wait_s * 1000


@pytest.mark.parametrize(
    ("wanted", "field", "words"),
    [
        ({"overlap_s": -1}, "overlap_s", "is -1; 0 to 604800 seconds"),
        ({"overlap_s": 604_801}, "overlap_s", "is 604801; 0 to 604800 seconds (7 days)"),
        ({"secret": "short"}, "secret", "has 5 characters; 16 to 128 are needed"),
        ({"secret": "whsk_" + "x" * 44}, "secret", "must not begin with 'whsk_'"),
        (
            {"signature": "v1a"},
            "signature",
            "is signed in one way only (X-QR3-Signature): leave it",
        ),
    ],
)
async def test_what_is_wrong_is_named_with_its_fix(
    world: World, wanted: dict[str, object], field: str, words: str
) -> None:
    with pytest.raises(InvalidFields) as raised:
        await world.rotate(**wanted)

    assert [error.field for error in raised.value.errors] == [field]
    assert words in raised.value.errors[0].detail
    assert await world.signing() == [(A, None)]


async def test_the_longest_overlap_is_seven_days(world: World) -> None:
    await world.rotate(secret=B, overlap_s=7 * DAY_S)

    assert await world.signing() == [(B, None), (A, 7 * DAY_S)]


async def test_an_ed25519_webhook_shows_its_public_key_and_nothing_secret() -> None:
    world = World(STANDARD)

    assert await world.create(signature="v1a") is None

    stored = await world.stored()
    (shown,) = await signing.show(world.ports, world.caller, world.id)
    assert shown.secret is None
    assert str(shown.public_key).startswith("whpk_")
    assert shown.public_key == stored.public_key
    assert world.ports.keyring.open(stored.secret, world.id).startswith("whsk_")


async def test_v1_and_v1a_replace_one_another() -> None:
    world = World(STANDARD)
    await world.create(secret=WHSEC)

    to_v1a = await world.rotate(signature="v1a", overlap_s=60)
    again = await world.rotate(overlap_s=60)  # stays with what it has
    back = await world.rotate(signature="v1", overlap_s=60)

    assert [one.secret for one in to_v1a] == [None, WHSEC]
    assert [one.public_key is not None for one in again] == [True, True, False]
    assert again[0].public_key != again[1].public_key
    assert [one.public_key is not None for one in back] == [False, True, True, False]
    assert str(back[0].secret).startswith("whsec_")


@pytest.mark.parametrize("signature", [None, "v1a"])
async def test_the_secret_of_an_ed25519_webhook_cannot_be_given(signature: str | None) -> None:
    world = World(STANDARD)
    await world.create(signature="v1a")

    with pytest.raises(InvalidFields, match="secret: cannot be given for 'v1a'"):
        await world.rotate(secret=WHSEC, signature=signature)


async def test_a_format_of_standard_webhooks_can_have_a_key_pair_and_no_other_format_can() -> None:
    """In QR3's own format nobody could verify with it."""
    standard, qr3 = World(STANDARD), World(QR3)
    await standard.create(signature="v1a")
    await qr3.create(signature="v1a", payload_format="standard")

    changed = await endpoints.change(
        standard.ports, standard.caller, standard.id, UpdateWebhook(payload_format="cloudevents")
    )
    with pytest.raises(InvalidFields, match="payload_format: cannot be 'profile'"):
        await endpoints.change(
            qr3.ports, qr3.caller, qr3.id, UpdateWebhook(payload_format="profile")
        )

    assert changed.payload_format == "cloudevents"
    assert str((await qr3.stored()).public_key).startswith("whpk_")


async def test_public_keys_are_for_everybody_as_long_as_they_sign() -> None:
    world = World(STANDARD)
    await world.create(signature="v1a")
    (first,) = await signing.public_keys(world.ports, world.id)
    await world.rotate(overlap_s=60)

    new, old = await signing.public_keys(world.ports, world.id)

    assert old == first
    assert new.kid != old.kid
    await world.rotate(signature="v1", overlap_s=60)
    assert await signing.public_keys(world.ports, world.id) == [new, old]
    world.clock.now_ms += 60_000
    with pytest.raises(NotFound):
        await signing.public_keys(world.ports, world.id)


async def test_what_has_no_public_key_is_not_found(world: World) -> None:
    for endpoint_id in (world.id, "wh_unknown", "x" * 1_000):
        with pytest.raises(NotFound, match="has a public key") as raised:
            await signing.public_keys(world.ports, endpoint_id)
        assert len(raised.value.detail) < 120
