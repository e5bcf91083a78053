"""Profiles: the built-in ones are the guides to the letter, and a wrong file is told why."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.models.operational import OPERATIONAL
from shared.profiles.profile import (
    ALL_EVENTS,
    BUILT_IN,
    Profile,
    ProfileError,
    load_profiles,
)
from shared.topics import DEFAULT_TIERS, Tiers

TIERS = Tiers.parse(DEFAULT_TIERS)
PROFILES = load_profiles(TIERS)
QR3, XQR, STANDARD = PROFILES["qr3"], PROFILES["xqr"], PROFILES["standard"]
QR3_TEXT = (BUILT_IN / "qr3.toml").read_text(encoding="utf-8")


def load_one(folder: Path, text: str, name: str = "acme") -> Profile:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return load_profiles(TIERS, folder)[name]


def test_there_are_three_products() -> None:
    assert set(PROFILES) == {"qr3", "xqr", "standard"}
    assert all(name == profile.name for name, profile in PROFILES.items())


def test_qr3_is_its_reference_to_the_letter() -> None:
    assert list(QR3.body.members.items()) == [
        ("id", "id"),
        ("type", "type"),
        ("created", "created"),
        ("data", "data"),
    ]
    assert QR3.body.javascript_stable
    assert QR3.signature.scheme == "hmac-sha256-hex"
    assert (QR3.signature.header, QR3.signature.prefix) == ("X-QR3-Signature", "sha256=")
    assert QR3.canonical("scan.created") == "qr.scanned"
    assert not QR3.events.open
    assert [tier.name for tier in QR3.schedule(TIERS)] == ["1m", "5m"]
    assert QR3.health.disable_after_failures == 10


def test_xqr_is_its_guide() -> None:
    assert list(XQR.body.members.items()) == [("event", "type"), ("data", "data")]
    assert (XQR.signature.header, XQR.signature.prefix) == ("X-XQR-Signature", "sha256=")
    assert XQR.events.open
    assert not XQR.secret_in_create


def test_standard_is_standard_webhooks() -> None:
    assert list(STANDARD.body.members.values()) == ["type", "created", "data"]
    assert STANDARD.signature.scheme == "standard-webhooks"
    assert STANDARD.signature.secret_prefix == "whsec_"
    assert STANDARD.headers.event_id == "webhook-id"
    assert len(STANDARD.schedule(TIERS)) == 9


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_an_attempt_has_a_deadline(profile: Profile) -> None:
    assert 1_000 <= profile.timeout_ms <= 60_000


def test_an_alias_is_another_name_of_its_type_and_everything_else_is_itself() -> None:
    assert QR3.canonical("qr.scanned") == "qr.scanned"
    assert XQR.canonical("invented.type") == "invented.type"
    assert {"qr.scanned", "scan.created"} < set(QR3.names())


@pytest.mark.parametrize("name", ["qr.scanned", "scan.created", "webhook.ping"])
def test_names_of_the_catalogue_are_known(name: str) -> None:
    assert QR3.unknown_reason(name) is None


def test_a_closed_catalogue_suggests_what_was_meant() -> None:
    assert QR3.unknown_reason("qr.scaned") == (
        "unknown event type 'qr.scaned'; did you mean 'qr.scanned'?"
    )
    assert (QR3.unknown_reason("zzz") or "").startswith(
        "unknown event type 'zzz'; known: qr.created"
    )


def test_an_open_catalogue_takes_any_well_formed_name() -> None:
    assert XQR.unknown_reason("link.archived") is None
    assert XQR.unknown_reason("a") is None
    assert XQR.unknown_reason("x" * 64 + ".y" * 7) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a\n",
        "ä.b",
        "x" * 65,
        "a" + ".b" * 8,
        ALL_EVENTS,
        "\ud800",
    ],
)
def test_what_is_no_name_is_refused_in_an_open_catalogue_too(name: str) -> None:
    reason = XQR.unknown_reason(name)
    assert reason is not None
    assert "is not an event type such as 'link.created'" in reason
    assert len(reason) < 200


def test_a_company_adds_its_own_by_writing_a_file(tmp_path: Path) -> None:
    profile = load_one(tmp_path, QR3_TEXT.replace("X-QR3", "X-Acme"))
    assert (profile.name, profile.signature.header) == ("acme", "X-Acme-Signature")
    assert set(load_profiles(TIERS, tmp_path)) == {"acme", "qr3", "xqr", "standard"}


def test_a_file_replaces_the_built_in_profile_of_its_name(tmp_path: Path) -> None:
    assert load_one(tmp_path, QR3_TEXT.replace('"15s"', '"3s"'), "qr3").timeout_ms == 3_000


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="absent: no such folder"):
        load_profiles(TIERS, tmp_path / "absent")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "QR3"', "", "missing required field `title`"),
        ('title = "QR3"', 'title = "QR3', "Illegal character"),
        ('title = "QR3"', 'title = "QR3"\ncolour = "red"', "unknown field `colour`"),
        ('scheme = "hmac-sha256-hex"', 'scheme = "md5"', "signature.scheme"),
        ('data = "data"', 'data = "payload"', "body.members"),
        (', data = "data"', "", "one member must hold 'data'"),
        ('"X-QR3-Signature"', '"X QR3"', "'X QR3' is not a header name"),
        ('"X-QR3-Attempt"', '"X:"', "'X:' is not a header name"),
        ('"X-QR3-Event-Id"', '""', "'' is not a header name"),
        ('"X-QR3-Event-Id"', '"X-QR3-ATTEMPT"', "'X-QR3-Attempt' is the name of another header"),
        ('"X-QR3-Event-Id"', '"Content-Length"', "'Content-Length' is the name of another header"),
        ('prefix = "sha256="', 'prefix = "a\\r\\nX-Evil: 1"', "signature.prefix"),
        ('prefix = "sha256="', 'prefix = "é"', "signature.prefix"),
        ('"QR3-Webhooks/1.0"', '"QR3\\r\\nX-Evil: 1"', "headers.user_agent"),
        ('"QR3-Webhooks/1.0"', '" QR3"', "headers.user_agent"),
        ('ping = "webhook.ping"', 'ping = "webhook.test"', "'webhook.test' is not listed"),
        ('"qr.flagged" =', '"qr flagged" =', "'qr flagged' is not an event type"),
        ('"scan.created" = "qr.scanned"', '"scan.created" = "qr.scan"', "'scan.created' must name"),
        ('"scan.created" = "qr.scanned"', '"qr.created" = "qr.scanned"', "'qr.created' must name"),
        ('["1m", "5m"]', '["1m", "7m"]', "'7m' is not a retry tier"),
        ('timeout = "15s"', 'timeout = "soon"', "'soon' is not a duration"),
        ("disable_after_failures = 10", 'disable_after = "never"', "'never' is not a duration"),
        ("disable_after_failures = 10", "disable_after_failures = 0", "disable_after_failures"),
    ],
)
def test_a_mistake_names_the_file_and_the_field(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert QR3_TEXT.count(old) == 1
    with pytest.raises(ProfileError) as raised:
        load_one(tmp_path, QR3_TEXT.replace(old, new))
    assert str(raised.value).startswith("acme.toml: ")
    assert says in str(raised.value)


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_bytes(b'title = "\xff"')
    with pytest.raises(ProfileError, match=r"acme\.toml"):
        load_profiles(TIERS, tmp_path)


def test_a_schedule_that_the_deployment_has_no_tiers_for_is_an_error() -> None:
    """Found at start, not at the first failure."""
    with pytest.raises(ProfileError, match="tiers are 1s"):
        load_profiles(Tiers.parse("1s"))


@pytest.mark.parametrize("profile", [QR3, XQR])
@pytest.mark.parametrize("name", OPERATIONAL)
def test_operational_events_are_subscribed_by_name_and_published_by_nobody(
    profile: Profile, name: str
) -> None:
    assert profile.subscription_problem(name) is None
    assert profile.unknown_reason(name) is None
    assert "Hooklane alone sends it" in (profile.publication_problem(name) or "")


def test_no_pattern_of_a_closed_catalogue_stands_for_operational_events() -> None:
    assert "no event type is below" in (QR3.subscription_problem("endpoint.*") or "")


def test_a_misspelt_operational_event_is_recognised() -> None:
    hint = QR3.subscription_problem("endpoint.disabeld")

    assert hint == "unknown event type 'endpoint.disabeld'; did you mean 'endpoint.disabled'?"


def test_no_product_has_an_operational_event_of_its_own(tmp_path: Path) -> None:
    wrong = QR3_TEXT.replace('"qr.flagged"', '"endpoint.failing"')
    with pytest.raises(ProfileError, match="operational event"):
        load_one(tmp_path, wrong)
