"""The guides' own code during a rotation, in Node: what docs/receivers.md says to put around it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Final

import pytest

from shared.signing.schemes import Earlier
from tests.architecture.repository import ROOT
from tests.docs.test_receivers_guide import AT_S, BODY, GUIDE, sent
from tests.verifiers.kit import ENDS_WITHIN_S

SAMPLE: Final = (ROOT / "tests/receivers/qr3.mjs").read_text(encoding="utf-8")
(VERIFY,) = re.findall(r"^function verifySignature\(.*?^}", SAMPLE, re.MULTILINE | re.DOTALL)
(AROUND,) = re.findall(r"^  ```js\n(.*?)^  ```", GUIDE, re.MULTILINE | re.DOTALL)
OLD, NEW, FOREIGN = (f"the-{name}-secret-of-it" for name in ("old", "new", "other"))
EARLIER: Final = (Earlier(OLD, (AT_S + 1) * 1000),)
PROGRAM: Final = f"""
import crypto from "crypto";
{VERIFY}
{AROUND}
const {{ headers, payload, secrets }} = JSON.parse(process.argv[1]);
console.log(JSON.stringify(secrets.map((secret) => verifyAny(payload, headers, secret))));
"""


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (sent("qr3", OLD), [True, False, False]),
        (sent("qr3", NEW, EARLIER), [True, True, False]),
        (sent("qr3", NEW), [False, True, False]),
    ],
    ids=["before", "during", "afterwards"],
)
def test_one_secret_is_enough_at_any_time(headers: dict[str, str], expected: list[bool]) -> None:
    lower = {name.lower(): value for name, value in headers.items()}
    given = {"headers": lower, "payload": BODY.decode(), "secrets": [OLD, NEW, FOREIGN]}
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM, json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
