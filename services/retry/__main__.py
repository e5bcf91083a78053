"""``python -m services.retry``."""

from services.retry.wiring import SERVICE
from services.retry.wiring import main as serve
from shared.runtime import run


def main() -> None:
    """Run the service."""
    run(SERVICE, serve)


if __name__ == "__main__":
    main()
