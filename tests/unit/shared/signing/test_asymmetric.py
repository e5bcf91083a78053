"""ed25519 keys: the published vectors, and what everybody may see of a pair."""

from __future__ import annotations

import base64

import msgspec
import pytest

from shared.signing import asymmetric

# RFC 8032, 7.1, test 1: the private key, its public key, and the signature of the empty message.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNED_NOTHING = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f"
    "b8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)


def test_the_vector_of_rfc_8032() -> None:
    private_key = asymmetric.new_private_key(SEED)

    assert private_key == "whsk_" + base64.b64encode(SEED).decode()
    assert asymmetric.public_key_of(private_key) == "whpk_" + base64.b64encode(PUBLIC).decode()
    signature = asymmetric.signing(private_key)(b"")
    assert signature == b"v1a," + base64.b64encode(SIGNED_NOTHING)


def test_a_public_key_is_the_json_web_key_of_rfc_8037() -> None:
    """The same key, in A.2 and A.3: its coordinate and its thumbprint."""
    public_key = asymmetric.public_key_of(asymmetric.new_private_key(SEED))

    assert msgspec.to_builtins(asymmetric.jwk_of(public_key)) == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "use": "sig",
        "alg": "EdDSA",
    }


@pytest.mark.parametrize("encoded", ["", "AAAA", base64.b64encode(SEED[1:]).decode(), "é" * 44])
def test_what_is_no_private_key_is_refused_without_being_shown(encoded: str) -> None:
    for use in (asymmetric.public_key_of, asymmetric.signing):
        with pytest.raises(ValueError, match="'whsk_' and base64 of 32 bytes") as raised:
            use("whsk_" + encoded)
        assert not encoded or encoded not in str(raised.value)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_is_made_of_32_random_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"entropy has {size} bytes, 32 are needed"):
        asymmetric.new_private_key(bytes(size))
