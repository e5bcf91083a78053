"""The Dockerfile is built and its images deliver an event, as the deployment guide says.

What the guide's reader types is run as it is written, with images for containers: ``docker`` is a
stand-in here, the programs in the images are not. So a package that is missing in a lock, a file
that is not copied, a health check that cannot run, or a command of the guide that is not true,
turns this red. Kafka and MongoDB are the tests' own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.local import ports
from deploy.local.services import NAMES
from tests.architecture.repository import ROOT
from tests.images.kit import NEEDS, Builder, Image, open_builder, rendered
from tests.support.polling import until_true
from tests.support.servers import KafkaServer, MongoServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(900),  # the first time on a machine, the base and Docker Compose are made
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(name) is None for name in NEEDS),
        reason=f"building images takes root and {', '.join(NEEDS)}",
    ),
]

WITHIN_S: Final = 60.0
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_STRICT: Final = "set -euo pipefail\n"


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with open_builder() as opened:
        yield opened


@pytest.fixture(scope="module")
def images(builder: Builder) -> Mapping[str, Image]:
    return {service: builder.build(service) for service in NAMES}


@pytest.mark.parametrize("service", NAMES)
def test_an_image_says_what_it_is_and_how_it_is_run(
    images: Mapping[str, Image], service: str
) -> None:
    config = images[service].config

    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Cmd"][0] == config["Healthcheck"]["Test"][1] == "python"  # no shell in between
    assert config["Labels"]["org.opencontainers.image.title"] == f"hooklane-{service}"
    assert {"version", "revision", "source"} <= {
        name.rpartition(".")[2] for name in config["Labels"]
    }


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("requirements/retry.txt", "msgspec==", "# msgspec=="),
        ("Dockerfile", "COPY shared shared\n", ""),
    ],
    ids=["package", "copy"],
)
def test_an_image_that_lacks_something_is_not_made(
    builder: Builder, tmp_path: Path, path: str, before: str, after: str
) -> None:
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "requirements/retry.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("services", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name)
    file = tmp_path / path
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(_without_hashes_of(text, before, after), encoding="utf-8")

    with pytest.raises(AssertionError, match=r"No module named '(msgspec|shared)'"):
        builder.build("retry", tmp_path)


def _without_hashes_of(text: str, before: str, after: str) -> str:
    """Return a text with a piece replaced; of a pin, the hashes in the lines behind it go, too."""
    if "==" in before:
        return re.sub(rf"^{before}.*(\n    --hash.*)*", after, text, flags=re.MULTILINE)
    return text.replace(before, after)


async def test_the_first_event_of_the_guide_is_delivered(
    images: Mapping[str, Image],
    kafka_server: KafkaServer,
    mongo_server: MongoServer,
    tmp_path: Path,
) -> None:
    secrets, preparation, tour = _guide()
    (tmp_path / ".env").write_text(_shell(secrets, tmp_path), encoding="utf-8")
    _stand_in_for_docker(tmp_path, "exit 0")
    _shell(preparation, tmp_path)
    services = rendered(tmp_path / ".env", "demo")
    gateway_port, receiver_port = ports.choose(), ports.choose()
    here = {  # the network is this machine's
        "HOOKLANE_KAFKA_BOOTSTRAP": kafka_server.cluster.bootstrap,
        "HOOKLANE_MONGO_URI": mongo_server.uri,
        "HOOKLANE_EGRESS_ALLOW": "127.0.0.0/8",
        "HOOKLANE_GATEWAY_PORT": str(gateway_port),
    }
    settings = {
        name: {
            **services[name]["environment"],
            **here,
            "HOOKLANE_HEALTH_PORT": str(ports.choose()),
        }
        for name in NAMES
    }

    with ExitStack() as running:
        _run_to_its_end(images["retry"], services["topics"], here)
        processes = {
            name: running.enter_context(
                _running(
                    images[name].command(settings[name], *images[name].config["Cmd"]),
                    tmp_path / f"{name}.log",
                )
            )
            for name in NAMES
        }
        receiver = _receiver(images["retry"], services["demo"], receiver_port)
        running.enter_context(_running(receiver, tmp_path / "demo.log"))
        for name in NAMES:
            await _healthy(images[name], settings[name], tmp_path / f"{name}.log")
        gateway = shlex.join(images["gateway"].command(settings["gateway"]))
        _stand_in_for_docker(
            tmp_path,
            f'[ "$1 $2" = "compose exec" ] && shift 4 && exec {gateway} "$@"',
            f'[ "$*" = "compose logs --no-log-prefix demo" ] && exec cat {tmp_path}/demo.log',
        )
        printed = _shell(_at(tour, gateway_port, receiver_port), tmp_path)
        for name, process in processes.items():
            process.send_signal(signal.Signals[images[name].config["StopSignal"]])
        ended = {name: process.wait(WITHIN_S) for name, process in processes.items()}

    received = json.loads(printed.splitlines()[-1])
    assert received["signature"] == "holds"
    assert json.loads(received["body"])["type"] == "qr.scanned"
    assert ended == dict.fromkeys(NAMES, 0)


def _guide() -> tuple[str, str, str]:
    """Return what a reader types: to make the secrets, to prepare the demo, and the tour."""
    guide = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    secrets = guide.partition("\n## Secrets\n")[2].partition("\n## ")[0]
    compose = guide.partition("\n## Compose\n")[2].partition("\n## ")[0]
    (making,) = _BLOCK.findall(secrets)
    _, preparation, tour, *_ = _BLOCK.findall(compose)
    return making, preparation, tour


def _at(tour: str, gateway_port: int, receiver_port: int) -> str:
    """Return the tour with the ports that are free here."""
    for told, here in {"127.0.0.1:8080": gateway_port, "demo:9000": receiver_port}.items():
        assert told in tour
        tour = tour.replace(told, f"127.0.0.1:{here}")
    return tour


def _shell(script: str, folder: Path) -> str:
    """Run a script as typed into a shell, with the stand-in for Docker; returns its output."""
    path = os.pathsep.join((str(folder), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", _STRICT + script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def _stand_in_for_docker(folder: Path, *lines: str) -> None:
    """Put a program named docker into a folder; what it does not know fails."""
    script = folder / "docker"
    script.write_text("\n".join(("#!/bin/bash", *lines, "exit 2", "")), encoding="utf-8")
    script.chmod(0o755)


def _run_to_its_end(image: Image, job: Mapping[str, Any], here: Mapping[str, str]) -> None:
    """Run the topics' job, whose kind of container ends by itself."""
    command = image.command({**job["environment"], **here}, *job["command"])
    done = subprocess.run(command, capture_output=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr.decode()


def _receiver(image: Image, described: Mapping[str, Any], port: int) -> list[str]:
    """Return the demo receiver's command line, after mounting what it mounts."""
    for volume in described["volumes"]:
        shutil.copy(volume["source"], image.root / volume["target"].lstrip("/"))
    environment = {**described["environment"], "DEMO_PORT": str(port)}
    return image.command(environment, *described["command"])


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of the block; whatever happens, nothing is left behind."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def _healthy(image: Image, settings: Mapping[str, str], log: Path) -> None:
    """Wait until the image's own health check says so."""
    kind, *check = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"

    def checked() -> tuple[int, str]:
        done = subprocess.run(image.command(settings, *check), capture_output=True, check=False)
        return done.returncode, f"{done.stderr.decode()}\n{log.read_text(encoding='utf-8')[-1500:]}"

    await until_true(
        checked, lambda seen: seen[0] == 0, what=f"{log.stem} is healthy", within_s=WITHIN_S
    )
