"""A *profile* says what a product's webhooks look like; each is one small TOML file.

Envelope, signature, headers, event catalogue with aliases, retry schedule, disable rule and time
limits are data, so that the guides of two products are two files and one engine. A company adds its
own by writing a file into the folder that ``HOOKLANE_PROFILES_DIR`` names. A workspace has one
profile.

Pure but for ``load_profiles``, which reads the files once, at start, and checks them as a whole:
a mistake names the file and the field.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from shared.models.endpoints import TypeNames
from shared.models.operational import OPERATIONAL
from shared.topics import Tier, Tiers, duration_ms

ALL_EVENTS: Final = "*"
PATTERN_END: Final = ".*"
BUILT_IN: Final = Path(__file__).parent / "data"

_EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,7}\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")  # RFC 9110, 5.6.2
_FIELD_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?\Z")  # RFC 9110, 5.5, without tabs
_OTHER_HEADERS: Final = frozenset(
    {"connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"}
)

BodySource = Literal["id", "type", "created", "data", "workspace"]
Scheme = Literal["hmac-sha256-hex", "standard-webhooks"]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The envelope: member names in order, each with what it holds; ``constants`` come before them.

    ``javascript_stable`` renders ``data`` so that ``JSON.stringify(JSON.parse(body)) == body``;
    otherwise the producer's bytes are sent as they are.
    """

    members: dict[str, BodySource]
    constants: dict[str, str] = {}
    content_type: str = "application/json"
    javascript_stable: bool = False


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a request is signed. ``header`` and ``prefix`` belong to ``hmac-sha256-hex``.

    ``secret_prefix`` marks generated secrets; ``secret_length_min``/``max`` bound given ones.
    """

    scheme: Scheme
    header: str = "webhook-signature"
    prefix: str = ""
    secret_prefix: str = ""
    secret_length_min: int = 16
    secret_length_max: int = 128

    @property
    def header_of_all(self) -> str:
        """Return the header that lists every signature while ``header``, which holds one, does."""
        return f"{self.header}-All"


class Headers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of the headers that identify a request; existing receivers ignore them."""

    event_id: str
    attempt: str
    user_agent: str


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event types. An ``open`` catalogue takes any well-formed name besides the listed ones.

    ``aliases`` maps another name of a type to the canonical one, which payloads carry whatever name
    was published or subscribed. ``ping`` is sent by the test call only. ``archived``
    types are over: neither published nor subscribed any more.
    """

    types: dict[str, str]
    ping: str
    open: bool = False
    aliases: dict[str, str] = {}
    archived: frozenset[str] = frozenset()


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``delays`` between attempts (names of retry tiers) and the deadline of one attempt."""

    delays: tuple[str, ...]
    timeout: str = "15s"
    retry_after_max: str = "24h"


class Health(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When failures disable an endpoint: a count in a row, a time without success, or neither."""

    disable_after_failures: Annotated[int, msgspec.Meta(ge=1)] | None = None
    disable_after: str | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One product's webhooks; see the fields' types."""

    name: str
    title: str
    body: Body
    signature: Signature
    headers: Headers
    events: Catalogue
    retry: Retry
    health: Health
    secret_in_create: bool = True

    @property
    def timeout_ms(self) -> int:
        """Return the deadline of one attempt."""
        return duration_ms(self.retry.timeout)

    def canonical(self, event_type: str) -> str:
        """Return the canonical name of a type: an alias is resolved, others stay."""
        return self.events.aliases.get(event_type, event_type)

    def names(self) -> tuple[str, ...]:
        """Return every name that the catalogue lists, aliases included."""
        return (*self.events.types, *self.events.aliases)

    def unknown_reason(self, event_type: str) -> str | None:
        """Return why ``event_type`` cannot be used here, with a suggestion, or None if it can."""
        if event_type in OPERATIONAL:
            return None
        if event_type in self.events.types or event_type in self.events.aliases:
            if self.canonical(event_type) not in self.events.archived:
                return None
            return f"event type {event_type!r} is archived; bring it back, or use another one"
        if not is_event_type(event_type):
            return f"{event_type[:64]!r} is not an event type such as {next(iter(self.names()))!r}"
        if self.events.open:
            return None
        names = [name for name in self.names() if self.canonical(name) not in self.events.archived]
        near = difflib.get_close_matches(event_type, [*names, *OPERATIONAL], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"
        return f"unknown event type {event_type!r}{hint}"

    def publication_problem(self, event_type: str) -> str | None:
        """Return why nobody can publish events of ``event_type``, or None if they can."""
        if event_type in OPERATIONAL:
            return f"{event_type!r} is an operational event: Hooklane alone sends it"
        problem = self.unknown_reason(event_type)
        if problem is None and self.canonical(event_type) == self.events.ping:
            return f"{self.events.ping!r} is sent by the ping call only"
        return problem

    def extended(self, own: Iterable[TypeNames]) -> Profile:
        """Return the profile of a workspace that has event types of its ``own`` besides.

        Where a name is in both, the profile's meaning stands: it may have come later.
        """
        mine = [one for one in own if one.name not in self.names()]
        if not mine:
            return self
        aliases = {alias: one.name for one in mine for alias in one.aliases}
        taken = {*self.events.types, *(one.name for one in mine)}
        catalogue = msgspec.structs.replace(
            self.events,
            types={**self.events.types, **{one.name: "" for one in mine}},
            aliases={
                **{alias: name for alias, name in aliases.items() if alias not in taken},
                **self.events.aliases,
            },
            archived=self.events.archived | {one.name for one in mine if one.archived},
        )
        return msgspec.structs.replace(self, events=catalogue)

    def subscription_problem(self, name: str) -> str | None:
        """Return why nobody can subscribe to ``name``: a type, an alias, a pattern or ``*``.

        Operational events have no pattern: they are subscribed by name.
        """
        if name == ALL_EVENTS:
            return None
        if not name.endswith(PATTERN_END):
            return self.unknown_reason(name)
        prefix = name.removesuffix(PATTERN_END)
        if not is_event_type(prefix):
            return f"{name[:64]!r} is not a pattern such as 'order.*'; the star is its last part"
        if self.events.open or any(known.startswith(f"{prefix}.") for known in self.names()):
            return None
        patterns = sorted({f"{known.partition('.')[0]}.*" for known in self.names()})
        return f"no event type is below {name!r}; known: {', '.join(patterns)}"

    def schedule(self, tiers: Tiers) -> tuple[Tier, ...]:
        """Return the tier that follows each failed attempt: the first for attempt 1, and so on."""
        return tuple(tiers.named(delay) for delay in self.retry.delays)


def is_event_type(name: str) -> bool:
    """Return whether ``name`` is well-formed: up to eight parts such as ``order.created``."""
    return _EVENT_TYPE.match(name) is not None


class ProfileError(ValueError):
    """A profile file is wrong; the message names the file, the field and the fix."""


def load_profiles(tiers: Tiers, extra: Path | None = None) -> Mapping[str, Profile]:
    """Read the built-in profiles and those in ``extra``; a file there replaces one of its name.

    Raises ProfileError for a file that cannot be used.
    """
    folders = [BUILT_IN] if extra is None else [BUILT_IN, extra]
    if extra is not None and not extra.is_dir():
        raise ProfileError(f"{extra}: no such folder")
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    return {name: _load(path, tiers) for name, path in files.items()}


def _load(path: Path, tiers: Tiers) -> Profile:
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        profile = msgspec.convert({**raw, "name": path.stem}, Profile)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise ProfileError(f"{path.name}: {error}") from error
    problem = next(iter(_problems(profile, tiers)), None)
    if problem is not None:
        raise ProfileError(f"{path.name}: {problem}")
    return profile


def _problems(profile: Profile, tiers: Tiers) -> Iterable[str]:
    """Yield what is wrong with a profile that has the right shape."""
    if "data" not in profile.body.members.values():
        yield "body.members: one member must hold 'data'"
    if profile.body.constants.keys() & profile.body.members.keys():
        yield "body.constants: a member is there already"
    if _FIELD_VALUE.match(profile.body.content_type) is None:
        yield "body.content_type: visible ASCII, with spaces between at most"
    yield from _header_problems(profile)
    yield from _catalogue_problems(profile.events)
    yield from _time_problems(profile, tiers)


def _header_problems(profile: Profile) -> Iterable[str]:
    taken = set(_OTHER_HEADERS)
    signature = profile.signature
    names = [signature.header, profile.headers.event_id, profile.headers.attempt]
    if signature.scheme == "hmac-sha256-hex":
        names.append(signature.header_of_all)
    for name in names:
        if _TOKEN.match(name) is None:
            yield f"{name!r} is not a header name"
        if name.lower() in taken:
            yield f"{name!r} is the name of another header of the request"
        taken.add(name.lower())
    if _FIELD_VALUE.match(profile.headers.user_agent) is None:
        yield "headers.user_agent: visible ASCII, with spaces between at most"
    if _FIELD_VALUE.match(profile.signature.prefix + "0") is None:
        yield "signature.prefix: visible ASCII, with spaces between at most"


def _catalogue_problems(catalogue: Catalogue) -> Iterable[str]:
    for name in (*catalogue.types, *catalogue.aliases, catalogue.ping):
        if not is_event_type(name):
            yield f"events: {name!r} is not an event type such as 'order.created'"
        if name in OPERATIONAL:
            yield f"events: {name!r} is the name of an operational event; choose another one"
    for alias, target in catalogue.aliases.items():
        if target not in catalogue.types or alias in catalogue.types:
            yield f"events.aliases: {alias!r} must name a listed type and not be one itself"
    if catalogue.ping not in catalogue.types:
        yield f"events.ping: {catalogue.ping!r} is not listed in events.types"


def _time_problems(profile: Profile, tiers: Tiers) -> Iterable[str]:
    try:
        duration_ms(profile.retry.timeout)
        duration_ms(profile.retry.retry_after_max)
        duration_ms(profile.health.disable_after or "1d")
        profile.schedule(tiers)
    except ValueError as error:
        yield f"retry/health: {error}"
