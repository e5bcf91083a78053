"""Log lines: one JSON object each, whoever writes them and from whichever thread."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from shared.observe.logs import configure_logs

Lines = list[dict[str, Any]]


@contextlib.contextmanager
def logged(level: str = "info") -> Iterator[Lines]:
    """Configure logs; what is written inside is in the list afterwards."""
    root = logging.getLogger()
    before = (root.handlers, root.level)
    lines: Lines = []
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        try:
            configure_logs("fanout", level)
            yield lines
        finally:
            root.handlers, before_level = before
            root.setLevel(before_level)
            structlog.reset_defaults()
    lines += [json.loads(line) for line in stdout.getvalue().splitlines()]


def test_a_line_says_what_when_who_and_how_bad() -> None:
    with logged() as lines:
        structlog.get_logger("delivery").info("attempt_failed", attempt=2)
    (line,) = lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "attempt_failed",
        "level": "info",
        "logger": "delivery",
        "service": "fanout",
        "attempt": 2,
    }


def test_libraries_write_the_same_lines() -> None:
    with logged() as lines:
        logging.getLogger("a.library").warning("took %d s", 3)
    (line,) = lines
    assert (line["event"], line["service"], line["logger"]) == ("took 3 s", "fanout", "a.library")


def test_a_line_of_another_thread_has_the_service_too() -> None:
    """Faust's consumer and the watchdog have threads of their own."""
    with logged() as lines:
        thread = threading.Thread(target=structlog.get_logger("watchdog").error, args=("stuck",))
        thread.start()
        thread.join()
    assert [(line["event"], line["service"]) for line in lines] == [("stuck", "fanout")]


def test_an_exception_is_one_line() -> None:
    raised: dict[str, str] = {}
    with logged() as lines:
        for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
            try:
                raised["the reason"]
            except KeyError:
                log.exception("failed")
    assert [line["event"] for line in lines] == ["failed", "failed"]
    assert all("KeyError: 'the reason'" in line["exception"] for line in lines)


def test_what_is_no_json_is_shown_anyway() -> None:
    """A log call must not raise, whatever a producer wrote."""
    with logged() as lines:
        structlog.get_logger("x").info("odd", data=b"\xff", text="\ud800\n", thing=object())
    (line,) = lines
    assert (line["data"], line["text"]) == ("b'\\xff'", "\ud800\n")


def test_the_level_holds_for_everybody_and_chatter_is_left_out() -> None:
    with logged() as lines:
        structlog.get_logger("x").debug("detail")
        logging.getLogger("a.library").debug("detail")
        logging.getLogger("aiokafka.cluster").info("detail")
    assert lines == []


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_every_level_of_the_settings_is_one(level: str) -> None:
    with logged(level) as lines:
        for name in ("debug", "info", "warning", "error"):
            getattr(structlog.get_logger("z"), name)(name)
    assert next(line["event"] for line in lines) == level
