"""`python -m app`: serve the models on the address that the settings name."""

import contextlib
import sys

from app import logs
from app.errors import StartError
from app.main import create_app
from app.security import warn_of_open_door
from app.server import Server
from app.settings import Settings, warn_of_unknown_variables


def main() -> None:
    """Start, or say in one line why not."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_format, settings.log_level)
        warn_of_unknown_variables()
        warn_of_open_door(settings)
        app = create_app(settings)
    except StartError as error:
        sys.exit(f"capsnet: {error}")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after it has ended in order
        Server(app, settings).run()


if __name__ == "__main__":
    main()
