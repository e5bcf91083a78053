"""The error catalogue against the code and the page: none has an error that the others lack.

A failing test prints the page's entries as they should be.
"""

from __future__ import annotations

from typing import Final

import services.gateway.wiring  # noqa: F401 - everything that the gateway can raise
from services.gateway.errors import CODES
from services.gateway.problems import CATALOGUE, PROBLEM_TYPE, page
from shared.models.errors import HooklaneError, Misuse, Outage, Poison
from tests.architecture.repository import ROOT

PAGE: Final = (ROOT / "docs/errors.md").read_text(encoding="utf-8")


def answered() -> set[tuple[str, int]]:
    """Return the code and status of every error that an answer can be made of."""
    kinds: set[type[HooklaneError]] = {HooklaneError, *_with_subclasses(Misuse, Poison, Outage)}
    return {(kind.code, kind.status) for kind in kinds} | {
        (code, status) for status, code in CODES.items()
    }


def _with_subclasses(*kinds: type[HooklaneError]) -> set[type[HooklaneError]]:
    below = {below for kind in kinds for below in _with_subclasses(*kind.__subclasses__())}
    return {*kinds, *below}


def entries() -> str:
    """Return what ``docs/errors.md`` has to say of each error."""
    return "\n".join(
        f"## {kind.name}\n\n**{kind.status} {kind.title}.** {kind.meaning}\n\n"
        f"*What to do:* {kind.remedy}\n"
        for kind in CATALOGUE
    )


def test_the_catalogue_has_every_error_that_can_be_answered_and_no_other() -> None:
    assert {(kind.name, kind.status) for kind in CATALOGUE} == answered()
    assert len({kind.name for kind in CATALOGUE}) == len(CATALOGUE)


def test_the_documentation_has_the_catalogue() -> None:
    written = PAGE[PAGE.index("\n## ") + 1 :]

    assert written == entries(), entries()


def test_the_gateways_page_has_an_anchor_for_every_type() -> None:
    shown = page()

    for kind in CATALOGUE:
        anchor = f"{PROBLEM_TYPE}{kind.name}".removeprefix("/errors#")
        assert f'<h2 id="{anchor}">' in shown
        assert kind.remedy.replace("'", "&#x27;") in shown
