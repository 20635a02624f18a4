"""`python -m app`: serve the models on the address that the settings name."""

import contextlib
import sys

from .api.middleware.auth import warn_if_unauthenticated
from .errors import StartupError
from .inference.model_repository import discover_models
from .observability import logging_config
from .server.sockets import own_socket
from .server.supervisor import Supervisor
from .settings import Settings, warn_of_unknown_variables


def main() -> None:
    """Start, or say in one line why not."""
    try:
        settings = Settings.load()
        logging_config.configure(settings.log_format, settings.log_level)
        warn_of_unknown_variables()
        warn_if_unauthenticated(settings)
        if settings.workers > 1:
            discover_models(
                settings.models
            )  # what is wrong with the files is said once and not by every worker
            Supervisor(settings, _forget_worker).run()
        else:
            _serve(settings)
    except StartupError as error:
        sys.exit(f"capsnet: {error}")


def _serve(settings: Settings) -> None:
    """Serve in this process; the supervisor of several needs none of what is imported here."""
    from .api.application import create_app
    from .server.server import Server

    with own_socket(settings) as listening:
        server = Server(create_app(settings), settings)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after it has ended in order
            server.run([listening])


def _forget_worker(pid: int) -> None:
    """Tell the metrics that a worker's gauges no longer count."""
    from .observability.metrics import worker_gone

    worker_gone(pid)


if __name__ == "__main__":
    main()
