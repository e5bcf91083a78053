"""The operator's key: its digest in the configuration, nothing else anywhere."""

import pytest

from services.gateway.auth import digest_of
from services.gateway.wiring import operator_digest
from shared.config import ConfigError, Settings


def test_the_digest_is_64_hex_digits_or_nothing() -> None:
    digest = digest_of("the-operators-key")

    assert operator_digest(Settings()) == ""
    assert operator_digest(Settings(operator_key_sha256=digest.upper())) == digest


def test_a_key_in_the_place_of_its_digest_is_refused_and_shown_nowhere() -> None:
    settings = Settings(operator_key_sha256="the-operators-key")
    with pytest.raises(ConfigError, match="not 64 hex digits") as caught:
        operator_digest(settings)

    assert "the-operators-key" not in str(caught.value) + repr(settings)
