"""Ports: a free one on request, a clear line for a busy one."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.local import ports
from deploy.local.errors import LocalError
from tests.architecture.repository import ROOT


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_zero_asks_for_any_free_port_below_the_ephemeral_ones() -> None:
    port = ports.claim(0, owner="Kafka", setting="HOOKLANE_KAFKA_PORT")

    assert port in ports.CHOSEN
    assert ports.is_free(port)


def test_no_port_is_chosen_twice() -> None:
    chosen = [ports.choose() for _ in range(300)]

    assert len(set(chosen)) == len(chosen)


def test_a_free_port_is_taken_as_asked_for() -> None:
    port = ports.choose()

    assert ports.claim(port, owner="Kafka", setting="HOOKLANE_KAFKA_PORT") == port


def test_a_busy_port_is_refused_in_one_line_that_names_the_way_out(busy_port: int) -> None:
    with pytest.raises(LocalError) as refusal:
        ports.claim(busy_port, owner="Kafka", setting="HOOKLANE_KAFKA_PORT")

    text = str(refusal.value)
    assert f"port {busy_port} is in use" in text
    assert "HOOKLANE_KAFKA_PORT" in text
    assert "\n" not in text


def test_a_port_whose_connections_linger_counts_as_free() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((ports.HOST, port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT

    assert ports.is_free(port)


def test_two_processes_never_choose_the_same_port() -> None:
    """Both try the same ports in the same order, and neither's server listens yet."""
    program = (
        "import random, sys\nfrom deploy.local import ports\nrandom.seed(1)\n"
        "print([ports.choose() for _ in range(3)], flush=True)\nsys.stdin.read()"
    )
    with ExitStack() as running:
        both = [
            running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program],
                    cwd=ROOT,
                    text=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for _ in range(2)
        ]
        chosen = [json.loads(one.stdout.readline()) for one in both if one.stdout is not None]

    assert len({*chosen[0], *chosen[1]}) == 6
