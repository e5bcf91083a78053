"""Ports on the loopback interface: choosing a free one, and saying clearly when one is taken.

A chosen port stays with its server across restarts, so it must not be one that the kernel hands to
outgoing connections meanwhile: the range here ends below every platform's ephemeral ports (Linux
starts at 32768, macOS at 49152, RFC 6335 says 49152).

Another process that chooses at the same time must not choose it, either, before its server listens
or while that is restarted. So the UDP port of the same number is held as a mark.
"""

import os
import random
import socket
from collections import deque

from deploy.local.errors import LocalError

HOST = "127.0.0.1"
CHOSEN = range(20_000, 32_768)
_TRIES = 100
_MARKS_MAX = 200  # files that are open for it
_given: set[int] = set()  # chosen by this process, though their servers may not listen yet
_marks: deque[int] = deque()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now (one in TIME_WAIT counts as free)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose() -> int:
    """Return a free port, another one each time; raises `LocalError` if none can be found."""
    for port in random.sample(CHOSEN, _TRIES):
        if port not in _given and is_free(port) and _mark(port):
            _given.add(port)
            return port
    raise LocalError(f"none of {_TRIES} ports tried from {CHOSEN.start} up is free on {HOST}")


def _mark(port: int) -> bool:
    """Keep other processes from choosing the port; tell whether none of them has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
        try:
            mark.bind((HOST, port))
        except OSError:
            return False
        _marks.append(mark.detach())
    if len(_marks) > _MARKS_MAX:
        os.close(_marks.popleft())
    return True


def claim(port: int, *, owner: str, setting: str) -> int:
    """Return the port that `owner` shall listen on; 0 asks for any free one.

    `setting` is what the person would change, for example `HOOKLANE_KAFKA_PORT`. Raises
    `LocalError` if something else listens there.
    """
    if port == 0:
        return choose()
    if not is_free(port):
        raise LocalError(
            f"port {port} is in use, so {owner} cannot listen there: "
            f"stop what uses it, or set {setting} to another port (0 takes any free one)"
        )
    return port
