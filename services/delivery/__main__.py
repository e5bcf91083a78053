"""``python -m services.delivery``."""

from services.delivery.wiring import SERVICE
from services.delivery.wiring import main as serve
from shared.runtime import run


def main() -> None:
    """Run the service."""
    run(SERVICE, serve)


if __name__ == "__main__":
    main()
