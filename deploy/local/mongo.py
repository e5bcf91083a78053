"""The embedded MongoDB: `secantusd-rs`, a small server that speaks MongoDB's wire protocol.

It comes in the `secantusdb` wheel, a program under the GPL of its own, for development and tests
only; production uses a real MongoDB. It listens on loopback, keeps its data in the state folder and
loses nothing acknowledged at a SIGKILL if writers use `uri`, which asks for the journal. With
`options` it is secured (TLS, logins); `make run` has none.
"""

import asyncio
import contextlib
import ssl
import struct
import sysconfig
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import bson

from deploy.local import ports
from deploy.local.errors import LocalError
from deploy.local.processes import Child

PROGRAM = "secantusd-rs"
JOURNAL_FILE_MAX = "128MB"  # the default of 2 GB is written out in full for every state folder
CACHE_SIZE = "256M"
_OP_MSG = (
    2013  # MongoDB wire protocol: length, request id, response to, opcode, flags, section kind
)
_OP_MSG_HEAD = struct.Struct("<iiiiIb")


class Mongo(Child):
    """One embedded server; `uri` is its address, the same at every start."""

    def __init__(
        self,
        state_dir: Path,
        *,
        logs_dir: Path,
        port: int = 0,
        options: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Store the settings; nothing is touched before `start()`.

        `port` 0 takes any free one. `options` are more of the server's own; `tls` is how to ask it
        whether it is ready if it listens with TLS only.
        """
        super().__init__("mongo", logs_dir=logs_dir)
        self._state_dir = state_dir
        self._wanted_port = port
        self._options = options
        self._tls = tls

    @cached_property
    def port(self) -> int:
        """The server's port, claimed when first asked for; raises `LocalError` if it is taken."""
        return ports.claim(self._wanted_port, owner="MongoDB", setting="HOOKLANE_MONGO_PORT")

    @property
    def uri(self) -> str:
        """Connection string: writes are acknowledged once they are in the journal."""
        return f"mongodb://{ports.HOST}:{self.port}/?w=majority&journal=true"

    async def prepare(self) -> Sequence[str]:
        """Claim the port and make the data folder."""
        data_dir = self._state_dir / "data"
        config = self._state_dir / "secantusd.toml"
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            config.write_text("# Empty on purpose: naming a file keeps others from being found.\n")
        except OSError as error:
            raise LocalError(f"cannot write MongoDB's state folder: {error}") from error
        return [
            mongo_program(),
            *("--config", str(config)),
            *("--host", ports.HOST),
            *("--port", str(self.port)),
            *("--storage-path", str(data_dir)),
            *("--log-file-max", JOURNAL_FILE_MAX),
            *("--cache-size", CACHE_SIZE),
            *("--log-level", "WARNING"),
            # Without it the server acknowledges journalled writes that only its own memory holds: a
            # SIGKILL lost whole batches. It costs 2 to 4 ms per command, little per row of a batch.
            "--sync-on-commit",
            *self._options,
        ]

    async def is_ready(self) -> bool:
        """Tell whether the server answers."""
        try:
            return await _answers(self.port, self._tls)
        except (OSError, asyncio.IncompleteReadError):
            return False


async def _answers(port: int, tls: ssl.SSLContext | None) -> bool:
    """Send one `hello` as OP_MSG, by hand: a driver's monitors would outlive the question.

    It needs no login.
    """
    command = bson.encode({"hello": 1, "$db": "admin"})
    size_bytes = _OP_MSG_HEAD.size + len(command)
    reader, writer = await asyncio.open_connection(ports.HOST, port, ssl=tls)
    with contextlib.closing(writer):
        writer.write(_OP_MSG_HEAD.pack(size_bytes, 1, 0, _OP_MSG, 0, 0) + command)
        head = _OP_MSG_HEAD.unpack(await reader.readexactly(_OP_MSG_HEAD.size))
        reply = bson.decode(await reader.readexactly(head[0] - _OP_MSG_HEAD.size))
    await writer.wait_closed()
    return bool(reply["ok"] == 1)


def mongo_program() -> str:
    """Return the path of `secantusd-rs`; raises `LocalError` if it is not installed."""
    program = Path(sysconfig.get_path("scripts")) / PROGRAM
    if not program.exists():
        raise LocalError("secantusdb is not installed in this environment: run `make setup`")
    return str(program)
