"""Schemathesis tries the whole OpenAPI document on a gateway, with every check that it has.

Nothing may answer 5xx or anything that is not documented; what the document allows is taken and
what it does not allow is refused. ``tests/fuzz`` has the configuration. How long it goes on is
``FUZZ_SECONDS``; ``make fuzz-api`` is the long run.
"""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Final

import pytest

from services.gateway.auth import digest_of
from tests.integration.gateway.belongings import belongings
from tests.integration.gateway.conftest import OPERATOR_KEY, Gateway, MakeTenant
from tests.integration.gateway.test_process import serving

SECONDS: Final = int(os.environ.get("FUZZ_SECONDS", "40"))
FUZZ: Final = Path(__file__).parents[2] / "fuzz"
SEEDED: Final = 40
_COUNT: Final = re.compile(rb"^  (\d[\d,]*) generated", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(3 * SECONDS + 120)  # what it finds is made smaller after that
async def test_the_document_is_true(
    gateway: Gateway, make_tenant: MakeTenant, tmp_path: Path
) -> None:
    tenant = await make_tenant("qr3")
    for _ in range(SEEDED):  # what is shown, re-submitted and deleted has to be there
        await belongings(gateway, tenant)
    key = await gateway.parts.ports.api_keys.find(digest_of(tenant.api_key))
    assert key is not None
    async with serving(gateway.settings) as (_, address):
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *("--config-file", FUZZ / "schemathesis.toml", "run", f"{address}/openapi.json"),
            *("--max-time", str(SECONDS), "--no-color"),
            env={
                **os.environ,
                "FUZZ_API_KEY": tenant.api_key,
                "FUZZ_TOKEN": tenant.jwt,
                "FUZZ_KEY_ID": key.id,
                "FUZZ_OPERATOR_KEY": OPERATOR_KEY,
                "FUZZ_WORKSPACE": tenant.id,
                "PYTHONPATH": str(FUZZ),
                "SCHEMATHESIS_HOOKS": "hooks",
            },
            cwd=tmp_path,  # it keeps what it has found beside where it runs
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    print(output.decode())
    still = await gateway.client.get("/v1/webhooks", headers=tenant.key)

    assert still.status_code == 200, "the operator's calls have hit what the others were tried on"
    assert process.returncode == 0, output.decode()
    opened = await gateway.parts.ports.api_keys.find(digest_of(tenant.api_key))
    assert opened is not None
    assert (opened.digest, opened.role, opened.revoked_ms) == (key.digest, "admin", None)
    generated = _COUNT.search(output)
    assert generated is not None
    assert int(generated[1].replace(b",", b"")) > SECONDS
