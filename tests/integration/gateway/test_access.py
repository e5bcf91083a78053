"""Who may call what: credentials, scopes, tenants, on every operation of the OpenAPI document."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import msgspec
import pytest
from httpx import Response

from services.gateway import auth
from services.gateway.handlers import accounts
from tests.integration.gateway.belongings import absent, belongings, state_without
from tests.integration.gateway.calls import (
    CALLS,
    CLOUD_BATCH_TYPE,
    CLOUD_EVENT,
    CLOUD_TYPE,
    CURSORS,
    EVENT,
    FIELDS,
    MARK,
    OTHERS,
    PATH,
    UNDOCUMENTED,
    Belongings,
    Name,
    Operation,
    operations,
    what_is_missing,
)
from tests.integration.gateway.conftest import OPERATOR, Gateway, MakeTenant, Tenant

pytestmark = pytest.mark.integration


class Credential(NamedTuple):
    """The header of a caller, and what it allows."""

    headers: dict[str, str]
    scopes: set[str]
    token: bool

    def allows(self, operation: Operation) -> bool:
        """Return whether the call is open to it."""
        call = operation.call
        return call.scope in self.scopes and (self.token or not call.token_only)


class Attempt(NamedTuple):
    """A request that names things, and what exactly it says."""

    operation: Operation
    path: str
    query: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    body: object = None
    media_type: str = "application/json"


Naming = Callable[[Attempt, Belongings], Attempt]


@pytest.fixture
async def found(gateway: Gateway) -> list[Operation]:
    """Return every operation that the gateway says it has."""
    return operations((await gateway.client.get("/openapi.json")).json())


@pytest.fixture
def closed(found: list[Operation]) -> list[Operation]:
    """Return those that need a credential; what CALLS lacks is the first test's to say."""
    return [one for one in found if one.name in CALLS and one.call.scope is not None]


async def send(gateway: Gateway, sent: Attempt, headers: Mapping[str, str]) -> Response:
    named = {**headers, **sent.headers}
    if sent.body is not None:
        named["Content-Type"] = sent.media_type
    return await gateway.client.request(
        sent.operation.method,
        sent.path,
        params=dict(sent.query),
        headers=named,
        content=None if sent.body is None else msgspec.json.encode(sent.body),
    )


def plain(operation: Operation, names: Mapping[str, Belongings]) -> Attempt:
    """Return the call with its right body; ``names`` says whose things its path names."""
    values = {name: PATH[name](its) for name, its in names.items()}
    return Attempt(operation, operation.at(values), body=operation.call.body)


def of(operation: Operation, its: Belongings) -> Attempt:
    """Return the call on these things."""
    return plain(operation, dict.fromkeys(operation.path, its))


async def key_with(gateway: Gateway, tenant: Tenant, scopes: set[str]) -> Credential:
    key = await accounts.create_api_key(
        gateway.parts.ports, workspace_id=tenant.id, scopes=sorted(scopes)
    )
    return Credential({"Authorization": f"Bearer {key}"}, scopes, token=False)


async def token_with(gateway: Gateway, tenant: Tenant, scopes: set[str]) -> Credential:
    token = await accounts.issue_jwt(
        gateway.parts.ports, gateway.parts.jwt_policy, workspace_id=tenant.id, scopes=sorted(scopes)
    )
    return Credential({"Authorization": f"Bearer {token}"}, scopes, token=True)


async def credentials(gateway: Gateway, tenant: Tenant) -> AsyncIterator[Credential]:
    """Yield a key and a token with no scope, with each one alone, and with all."""
    for scopes in (set[str](), *({scope} for scope in auth.SCOPES), set(auth.SCOPES)):
        yield await key_with(gateway, tenant, scopes)
        yield await token_with(gateway, tenant, scopes)


async def test_every_operation_parameter_and_field_is_tried_here(found: list[Operation]) -> None:
    missing = what_is_missing(found)

    assert missing == [], "\n".join(missing)


async def test_without_a_credential_nothing_tells_what_there_is(
    gateway: Gateway, closed: list[Operation], qr3: Tenant
) -> None:
    its = await belongings(gateway, qr3)
    for operation in closed:
        answers = [await send(gateway, of(operation, named), {}) for named in (its, absent(its))]

        for answer in answers:
            assert answer.status_code == 401, operation.name
            assert answer.headers["www-authenticate"] == 'Bearer realm="hooklane"'
            assert answer.json()["type"] == "/errors#unauthorised"
        assert answers[0].content == answers[1].content


async def test_with_a_wrong_credential_every_route_is_closed(
    gateway: Gateway, closed: list[Operation], qr3: Tenant
) -> None:
    its = await belongings(gateway, qr3)
    for operation in closed:
        for wrong in ("Bearer hk_unknown", "Bearer a.b.c", "Basic abc", f"Bearer {qr3.jwt}x"):
            answer = await send(gateway, of(operation, its), {"Authorization": wrong})

            assert answer.status_code == 401, (operation.name, wrong)
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_nothing_of_a_workspace_opens_the_operators_routes(
    gateway: Gateway, found: list[Operation], qr3: Tenant
) -> None:
    its = (await belongings(gateway, qr3))._replace(workspace=qr3.id)
    operators = [one for one in found if one.name in CALLS and one.call.operator]
    before = await state_without(gateway)
    for operation in operators:
        for headers in ({}, qr3.key, qr3.token):
            answer = await send(gateway, of(operation, its), headers)

            assert answer.status_code == 401, operation.name
            assert answer.json()["type"] == "/errors#unauthorised"

    assert len(operators) == 10
    assert await state_without(gateway) == before


async def test_the_operators_key_opens_nothing_of_a_workspace(
    gateway: Gateway, closed: list[Operation], qr3: Tenant
) -> None:
    its = await belongings(gateway, qr3)
    for operation in closed:
        answer = await send(gateway, of(operation, its), OPERATOR)

        assert answer.status_code == 401, operation.name


async def test_the_credential_is_checked_before_the_body_is_read(gateway: Gateway) -> None:
    answer = await gateway.client.post("/v1/webhooks", content=b"x" * 10_000_000)

    assert answer.status_code == 401


async def test_a_credential_without_the_scope_is_refused_and_the_scope_named(
    gateway: Gateway, closed: list[Operation], qr3: Tenant
) -> None:
    its = await belongings(gateway, qr3)
    for operation in closed:
        scope = str(operation.call.scope)
        for issue in (key_with, token_with):
            lacking = await issue(gateway, qr3, set(auth.SCOPES) - {scope})
            answer = await send(gateway, of(operation, its), lacking.headers)

            assert answer.status_code == 403, operation.name
            if lacking.token or not operation.call.token_only:
                assert repr(scope) in answer.json()["detail"]


@pytest.mark.slow
async def test_the_scope_alone_is_enough(
    gateway: Gateway, closed: list[Operation], make_tenant: MakeTenant
) -> None:
    for number, operation in enumerate(closed):
        if number % 40 == 0:  # a workspace may have so many keys, and each turn makes two
            tenant = await make_tenant("qr3")
        its = await belongings(gateway, tenant)
        issue = token_with if operation.call.token_only else key_with
        credential = await issue(gateway, tenant, {str(operation.call.scope)})
        answer = await send(gateway, of(operation, its), credential.headers)

        assert answer.is_success, (operation.name, answer.text)


async def test_a_token_that_names_no_scope_has_all(
    gateway: Gateway, closed: list[Operation], qr3: Tenant
) -> None:
    its = await belongings(gateway, qr3)
    for operation in (one for one in closed if one.method == "GET"):
        answer = await send(gateway, of(operation, its), qr3.token)

        assert answer.is_success, (operation.name, answer.text)


async def test_the_dashboards_calls_need_a_token(
    gateway: Gateway, closed: list[Operation], xqr: Tenant
) -> None:
    for operation in (one for one in closed if one.call.token_only):
        answer = await gateway.client.request(
            operation.method, operation.at({"webhook_id": "wh_1"}), headers=xqr.key
        )

        assert answer.status_code == 403
        assert "needs a token (JWT)" in answer.json()["detail"]


async def test_what_another_workspace_has_does_not_exist_whatever_the_credential(
    gateway: Gateway, closed: list[Operation], make_tenant: MakeTenant
) -> None:
    """403 without the scope, else 404, as for what was never there; and nothing is changed."""
    mine, other = await make_tenant("qr3"), await make_tenant("qr3")
    own, theirs = await belongings(gateway, mine), await belongings(gateway, other, mark=MARK)
    nobodys = absent(theirs)
    before = await state_without(gateway, mine)
    async for credential in credentials(gateway, mine):
        for operation, foreign in foreign_paths(closed):
            expected = 404 if credential.allows(operation) else 403
            answers = [
                await send(
                    gateway,
                    plain(
                        operation, dict.fromkeys(operation.path, own) | dict.fromkeys(foreign, its)
                    ),
                    credential.headers,
                )
                for its in (nobodys, theirs)
            ]

            assert [one.status_code for one in answers] == [expected] * 2, operation.name
            assert told(answers[0], nobodys) == told(answers[1], theirs), operation.name
            assert MARK not in answers[1].text

    assert await state_without(gateway, mine) == before


@pytest.mark.slow
async def test_naming_what_another_workspace_has_tells_and_changes_nothing(
    gateway: Gateway, closed: list[Operation], make_tenant: MakeTenant
) -> None:
    """In the query, headers and bodies: as if it were the name of nothing."""
    theirs = await belongings(gateway, await make_tenant("qr3"), mark=MARK)
    nobodys = absent(theirs)
    before = await state_without(gateway)
    callers: list[Tenant] = []

    async def new_caller(operation: Operation) -> tuple[Tenant, Belongings]:
        callers.append(mine := await make_tenant("qr3"))
        return mine, await belongings(gateway, mine) if operation.path else nobodys

    for operation, name_in in ((one, name_in) for one in closed for name_in in namings(one)):
        mine, own = await new_caller(operation)
        absently = await send(gateway, name_in(of(operation, own), nobodys), mine.token)
        if absently.is_success:  # it may have changed what it was about
            mine, own = await new_caller(operation)
        sent = name_in(of(operation, own), theirs)
        answer = await send(gateway, sent, mine.token)

        assert answer.status_code == absently.status_code, sent
        if answer.is_error:
            assert told(answer, theirs) == told(absently, nobodys), sent
        unsaid = [MARK, *(name for name in theirs if name not in repr(sent))]
        assert [name for name in unsaid if name in answer.text] == [], sent

    assert await state_without(gateway, *callers) == before


async def test_public_keys_tell_nothing_of_a_webhook_that_has_none(
    gateway: Gateway, qr3: Tenant
) -> None:
    its = await belongings(gateway, qr3)
    answers = [
        await gateway.client.get(f"/.well-known/webhooks/{named.webhook}/jwks.json")
        for named in (its, absent(its))
    ]

    assert [one.status_code for one in answers] == [404, 404]
    assert told(answers[0], its) == told(answers[1], absent(its))


def foreign_paths(closed: list[Operation]) -> Iterator[tuple[Operation, tuple[str, ...]]]:
    """Yield each operation with each choice of names in its path that are another workspace's."""
    for operation in closed:
        for count in range(1, len(operation.path) + 1):
            for foreign in combinations(operation.path, count):
                yield operation, foreign


def namings(operation: Operation) -> Iterator[Naming]:
    """Yield ways to name a thing in a call, one for each place outside the path."""
    for where, name in operation.others:
        taken = CURSORS[operation.name] if name == "cursor" else OTHERS.get(name)
        if taken is not None:
            yield partial(_in_query if where == "query" else _in_header, name, taken)
    for event in (EVENT, CLOUD_EVENT) if operation.takes_events else (None,):
        fields = {name: FIELDS[name] for name in operation.fields if name in FIELDS}
        for name, taken in (fields if event is None else {**fields, **UNDOCUMENTED}).items():
            yield partial(_in_body, name, taken, event)


def _in_query(name: str, taken: Name, sent: Attempt, its: Belongings) -> Attempt:
    return sent._replace(query={name: taken(its)})


def _in_header(name: str, taken: Name, sent: Attempt, its: Belongings) -> Attempt:
    return sent._replace(headers={name: str(taken(its))})


def _in_body(
    name: str, taken: Name, event: dict[str, Any] | None, sent: Attempt, its: Belongings
) -> Attempt:
    many, right = isinstance(sent.body, list), event or sent.body
    assert isinstance(right, dict)
    body = {**right, name: taken(its)}
    media_type = "application/json"
    if event is CLOUD_EVENT:
        media_type = CLOUD_BATCH_TYPE if many else CLOUD_TYPE
    return sent._replace(body=[body] if many else body, media_type=media_type)


def told(answer: Response, named: Belongings) -> tuple[str, dict[str, str]]:
    """Return what an answer says, but for the names that it was asked for, and its headers."""
    text = answer.text
    for name in named:
        text = text.replace(name, "…")
    own = {"content-length", "x-request-id"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return text, headers
