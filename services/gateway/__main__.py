"""``python -m services.gateway``."""

from services.gateway.wiring import SERVICE
from services.gateway.wiring import main as serve
from shared.runtime import run


def main() -> None:
    """Run the service."""
    run(SERVICE, serve)


if __name__ == "__main__":
    main()
