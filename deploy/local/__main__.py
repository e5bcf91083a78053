"""`python -m deploy.local run`: what `make run` does.

Starts the stack, prints a short banner when it is ready, and runs until Ctrl-C or SIGTERM; then
everything stops in order and the exit code is 0. What the person can mend is one line on stderr
and exit code 1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from typing import Final

import structlog

from deploy.local import prepare
from deploy.local.errors import LocalError
from deploy.local.processes import Child
from deploy.local.stack import Options, Stack
from deploy.local.state import locked

USAGE: Final = "usage: python -m deploy.local run"


async def run(options: Options) -> int:
    """Run the stack until a signal or a failure; returns the exit code."""
    started = time.monotonic()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    stack = Stack(options, _say)
    archiving: Child | None = None
    waiting = asyncio.create_task(stopping.wait())
    starting = asyncio.create_task(stack.start())
    failing = asyncio.create_task(stack.failure())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            print(_banner(stack, time.monotonic() - started), flush=True)
            archiving = prepare.later(options.state_dir / "logs")
            if archiving is not None:
                await archiving.start()
            await asyncio.wait({waiting, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            raise failing.result()
    finally:
        for task in (starting, waiting, failing):
            task.cancel()
        await asyncio.gather(starting, waiting, failing, return_exceptions=True)
        _say("stopping")
        if archiving is not None:
            await archiving.stop()
        await stack.stop()
    return 0


def _banner(stack: Stack, seconds: float) -> str:
    described = stack.describe()
    qr3 = described["workspaces"]["qr3"]
    return f"""
Hooklane is ready after {seconds:.1f} s.

  API        {described["gateway"]}   (OpenAPI: {described["gateway"]}/openapi.json)
  Kafka      {described["kafka"]}   topic {described["events_topic"]}
  Details    {stack.dev_json}   (keys of the demo workspaces; keep it to yourself)
  Logs       {stack.dev_json.parent}/logs

Try:
  curl -s {described["gateway"]}/v1/event-types -H 'Authorization: Bearer {qr3["api_key"]}'

The README's tour goes on from here. Ctrl-C stops everything; the state is kept.
"""


def _say(line: str) -> None:
    print(f"hooklane: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Parse the command line and run; returns the exit code."""
    if sys.argv[1:] != ["run"]:
        print(USAGE, file=sys.stderr)
        return 2
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # it comments on each retry
    try:
        options = Options.read(os.environ)
        with locked(options.state_dir):
            return asyncio.run(run(options))
    except LocalError as error:
        _say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
