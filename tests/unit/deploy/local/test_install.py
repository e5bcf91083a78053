"""Installing: uv is told what pip was told about the network."""

from deploy.local.install import uv_environment


def test_an_index_given_to_pip_is_given_to_uv() -> None:
    told = "global.index-url='https://mirror.example/simple'\nglobal.timeout='60'\n"

    assert uv_environment(told, {}) == {"UV_DEFAULT_INDEX": "https://mirror.example/simple"}


def test_settings_from_pips_environment_count_too() -> None:
    told = ":env:.cert='/etc/ssl/company.pem'\ninstall.proxy='http://proxy.example:3128'\n"

    assert uv_environment(told, {}) == {
        "SSL_CERT_FILE": "/etc/ssl/company.pem",
        "ALL_PROXY": "http://proxy.example:3128",
    }


def test_several_indexes_are_divided_by_spaces() -> None:
    told = r"global.extra-index-url='\nhttps://a.example\nhttps://b.example'"

    assert uv_environment(told, {}) == {"UV_INDEX": "https://a.example https://b.example"}


def test_what_is_set_for_uv_itself_wins() -> None:
    environ = {"UV_DEFAULT_INDEX": "https://mine.example", "HOME": "/home/me"}

    assert uv_environment("global.index-url='https://other.example'", environ) == environ
