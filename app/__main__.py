"""`python -m app`: serve the models on the address that the settings name."""

import sys

import uvicorn

from app import logs
from app.errors import StartError
from app.main import create_app
from app.settings import Settings, warn_of_unknown_variables

# Seconds for requests under way at the end; less than the ten after which `docker stop` kills.
GRACE = 8


def main() -> None:
    """Start, or say in one line why not."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_format)
        warn_of_unknown_variables()
        app = create_app(settings)
    except StartError as error:
        sys.exit(f"capsnet: {error}")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


if __name__ == "__main__":
    main()
