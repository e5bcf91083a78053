"""Errors as callers see them."""

import msgspec
import pytest
from litestar.exceptions import HTTPException, ValidationException

from services.gateway.errors import (
    FieldError,
    InvalidFields,
    PreconditionFailed,
    TooLarge,
    TooSlow,
    UnsupportedMedia,
    from_msgspec,
    problem_of,
)
from services.gateway.requests import decode
from services.gateway.schemas import CreateWebhook, UpdateWebhook
from shared.models.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Outage,
    Poison,
    Unauthorised,
)

GOOD = {"url": "https://example.com", "events": ["*"]}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid("x"), 400, "invalid_request"),
        (InvalidFields([FieldError("url", "x")]), 400, "invalid_request"),
        (Unauthorised("x"), 401, "unauthorised"),
        (Forbidden("x"), 403, "forbidden"),
        (NotFound("x"), 404, "not_found"),
        (TooSlow("x"), 408, "request_timeout"),
        (Conflict("x"), 409, "conflict"),
        (PreconditionFailed("x"), 412, "precondition_failed"),
        (TooLarge("x"), 413, "too_large"),
        (UnsupportedMedia("x"), 415, "unsupported_media_type"),
        (Poison("x"), 422, "rejected"),
        (Outage("x"), 503, "unavailable"),
        (HTTPException(status_code=404), 404, "not_found"),
        (HTTPException(status_code=405), 405, "method_not_allowed"),
        (HTTPException(status_code=500), 500, "internal_error"),
        (ValueError("secret detail"), 500, "internal_error"),
    ],
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)

    assert problem.status == status
    assert problem.type == f"/errors#{code}"
    assert problem.detail


def test_our_own_faults_show_nothing_of_themselves() -> None:
    assert "secret detail" not in str(problem_of(ValueError("secret detail")))


def test_a_field_is_named_with_its_fix() -> None:
    problem = problem_of(Invalid("must be short", field="name"))

    assert problem.errors == (FieldError("name", "must be short"),)


def test_without_a_field_there_is_no_list_of_errors() -> None:
    assert "errors" not in msgspec.to_builtins(problem_of(NotFound("gone")))


def test_every_wrong_field_is_named() -> None:
    errors = (FieldError("url", "is bad"), FieldError("events", "is empty"))

    problem = problem_of(InvalidFields(errors))

    assert problem.errors == errors
    assert problem.detail == "url: is bad; events: is empty"


def test_wrong_parameters_are_named() -> None:
    error = ValidationException(extra=[{"message": "Expected `int` >= 1", "key": "limit"}])

    assert problem_of(error).errors == (FieldError("limit", "expected `int` >= 1"),)


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({"events": ["*"]}, "url", "is missing; add it"),
        (GOOD | {"ulr": 1}, "ulr", "is not a field here; did you mean 'url'?"),
        (
            GOOD | {"zzz": 1},
            "zzz",
            "is not a field here; known: " + ", ".join(CreateWebhook.__struct_fields__),
        ),
        (GOOD | {"url": 1}, "url", "expected `str`, got `int`"),
        (GOOD | {"events": "*"}, "events", "expected `array`, got `str`"),
        (GOOD | {"events": ["*", 1]}, "events[1]", "expected `str`, got `int`"),
        (GOOD | {"signature": "v2"}, "signature", "is 'v2'; 'v1' or 'v1a' is possible"),
        (GOOD | {"secret": True}, "secret", "expected `str | null`, got `bool`"),
        ([], "body", "expected `object`, got `array`"),
    ],
)
def test_a_body_of_the_wrong_shape_names_the_field(body: object, field: str, detail: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        decode(msgspec.json.encode(body), CreateWebhook)

    assert caught.value.errors == (FieldError(field, detail),)


def test_booleans_are_not_guessed_from_text() -> None:
    with pytest.raises(InvalidFields, match="is_active: expected `bool`, got `str`"):
        decode(b'{"is_active":"true"}', UpdateWebhook)


@pytest.mark.parametrize("body", [b"{", b"nope", b'{"url":"\xff"}', b"[" * 100_000, b'{"a":1}x'])
def test_what_is_not_json_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(Invalid, match=r"the body is not JSON|is not a field|expected `object`"):
        decode(body, CreateWebhook)


def test_a_path_of_msgspec_becomes_a_field() -> None:
    assert from_msgspec("Expected `str`, got `int` - at `$.a[...].b`", ()).field == "a[].b"
    assert from_msgspec("Object missing required field `c` - at `$.a`", ()).field == "a.c"
