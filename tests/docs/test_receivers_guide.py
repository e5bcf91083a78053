"""The guide for receivers, run: its Python on requests as they are signed, its table of headers."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from shared.profiles.profile import load_profiles
from shared.signing.schemes import Earlier, make_signer
from shared.topics import DEFAULT_TIERS, Tiers
from tests.architecture.repository import ROOT

GUIDE: Final = (ROOT / "docs/receivers.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
SECRET: Final = "my-secret-key-min-16-chars"
AT_S: Final = 1_700_000_000
BODY: Final = b'{"id":"evt_1"}'


def sent(profile: str, secret: str, earlier: tuple[Earlier, ...] = ()) -> dict[str, str]:
    """Return the headers of a request with ``BODY``."""
    known = load_profiles(Tiers.parse(DEFAULT_TIERS))
    signer = make_signer(known[profile], secret, earlier)
    block = signer.lines(webhook_id="evt_1", timestamp_s=AT_S, body=BODY).decode()
    pairs = (line.split(": ", 1) for line in block.removesuffix("\r\n").split("\r\n"))
    return dict(pairs)


def test_the_python_example_accepts_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(PROGRAM, "docs/receivers.md", "exec"), names)  # noqa: S102 - the guide's own code
    headers = sent("qr3", SECRET)

    assert names["handle"](headers, BODY) == 200
    assert names["handle"](headers, BODY + b" ") == 401
    assert names["handle"]({}, BODY) == 401
    assert "the header X-QR3-Signature is missing" in capsys.readouterr().out


@pytest.mark.parametrize("profile", ["qr3", "xqr"])
def test_the_table_of_a_rotation_is_true(profile: str) -> None:
    """Which secret signs which header, during the overlap and afterwards."""
    new, old = "the-new-secret-of-it", "the-old-secret-of-it"
    name = f"X-{profile.upper()}-Signature"
    (by_new,), (by_old,) = sent(profile, new).values(), sent(profile, old).values()

    during = sent(profile, new, (Earlier(old, (AT_S + 1) * 1000),))
    afterwards = sent(profile, new, (Earlier(old, AT_S * 1000),))

    assert f"`{name}`" in GUIDE
    assert f"`{name}-All`" in GUIDE
    assert during == {name: by_old, f"{name}-All": f"{by_new}, {by_old}"}
    assert afterwards == {name: by_new}
