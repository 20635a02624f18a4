"""`python -m app`: serve the models on the address that the settings name.

With `CAPSNET_SERVER=uvicorn` that is plain uvicorn; the package `server` is then not needed.
"""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .settings import Settings


def main() -> None:
    """Start, or say in one line why not."""
    if os.getpid() == 1:
        # The system gives the first process of a container no signal for which it has no handler, and the start takes
        # seconds. So this comes before the imports. The server and the supervisor replace it.
        signal.signal(signal.SIGTERM, _end_at_once)
    from .errors import StartupError

    try:
        _start()
    except StartupError as error:
        sys.exit(f"capsnet: {error}")


def _end_at_once(number: int, _: FrameType | None) -> None:
    """End with the status of a process that a signal has ended: nothing is served yet."""
    os._exit(128 + number)


def _start() -> None:
    """Read the settings, and serve until a signal comes."""
    from .api.authentication import warn_if_unauthenticated
    from .api.local_network import log_local_address
    from .observability import logging_config
    from .settings import Settings, warn_of_unknown_variables

    settings = Settings.load()
    logging_config.configure(settings.log_format, settings.log_level)
    warn_of_unknown_variables()
    warn_if_unauthenticated(settings)
    log_local_address(settings)
    if os.environ.get("CAPSNET_SERVER") == "uvicorn":
        _serve_plainly(settings)
    elif settings.workers > 1:
        _supervise(settings)
    else:
        _serve(settings)


def _supervise(settings: "Settings") -> None:
    """Serve with several worker processes below a supervisor."""
    from .api.authentication import ApiKeys
    from .inference.model_repository import discover_models, hash_cards
    from .server.fingerprint import fingerprint
    from .server.supervisor import Supervisor

    models = discover_models(settings.models)  # one sentence about wrong files, and not one by every worker
    served = hash_cards(model.card for model in models.values())
    expected = fingerprint(served, ApiKeys.load(settings), ApiKeys.load_admin(settings))
    Supervisor(settings, _forget_worker, expected).run()


def _serve(settings: "Settings") -> None:
    """Serve in this process; the supervisor of several processes needs none of these imports."""
    from .api.application import create_app
    from .api.state import forget_former_changes
    from .server.server import Server
    from .server.sockets import StartLock, bind_exclusive

    forget_former_changes()
    with contextlib.closing(StartLock(settings)) as lock, bind_exclusive(settings) as listening:
        server = Server(create_app(settings), settings, on_listening=lock.close)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after it has ended in order
            server.run([listening])


def _serve_plainly(settings: "Settings") -> None:
    """Serve on plain uvicorn."""
    import uvicorn

    if settings.workers == 1:
        from .api.application import create_app
        from .api.state import forget_former_changes

        forget_former_changes()
        application: Any = create_app(settings)
    else:
        application = f"{__package__}.main:app"
    uvicorn.run(
        application,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application looks at them, where a proxy is trusted
    )


def _forget_worker(pid: int) -> None:
    """Tell the metrics that a worker's gauges no longer count."""
    from .observability.metrics import remove_worker

    remove_worker(pid)


if __name__ == "__main__":
    main()
