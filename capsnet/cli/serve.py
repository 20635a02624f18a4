"""Run the service in this process: that of the wheel, or that of the clone."""

import importlib
import importlib.util
import os
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Mapping

import typer

from capsnet.shipped_models import PACKAGE

# Packages without which the service cannot start, by the extra that brings them.
NEEDED = {
    "cpu": ("onnxruntime",),
    "serve": ("fastapi", "prometheus_client", "pydantic_settings", "structlog", "uvicorn"),
}

# Seconds for which `--open` waits for the service.
READY_TIMEOUT_S = 60.0


def serve(settings: Mapping[str, object], open_browser: bool) -> None:
    """Serve until the service ends, with these settings (names in lower case) before those in the environment.

    Raises
    ------
    typer.Exit
        With status 1, if a package that the service needs is not installed.
    """
    if missing := [extra for extra, names in NEEDED.items() if not all(map(importlib.util.find_spec, names))]:
        typer.echo(
            f"capsnet: the service needs more packages: install the wheel again with [{','.join(missing)}] "
            "after its name, or run `make install-serve` in a clone"
            + (" (gpu instead of cpu for an NVIDIA GPU)" if "cpu" in missing else ""),
            err=True,
        )
        raise typer.Exit(1)
    os.environ.update({f"CAPSNET_{name.upper()}": str(value) for name, value in settings.items()})
    os.environ["PYTHONSAFEPATH"] = "1"  # worker processes import nothing from the working folder
    program = importlib.import_module(f"{_service()}.__main__")
    if open_browser:
        host, port = os.environ.get("CAPSNET_HOST", "127.0.0.1"), os.environ.get("CAPSNET_PORT", "8000")
        threading.Thread(target=_open_when_ready, args=(_url(host, port),), daemon=True).start()
    program.main()


def _service() -> str:
    """Return the name of the service's package: below this one in the wheel, beside it in a clone."""
    if importlib.util.find_spec("capsnet.service"):
        return "capsnet.service"
    clone = str(PACKAGE.parent)
    sys.path.insert(0, clone)
    # Worker processes find the package there.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [clone, os.environ.get("PYTHONPATH")]))
    return "app"


def _url(host: str, port: str) -> str:
    """Return the address for a browser on this machine."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"


def _open_when_ready(url: str) -> None:
    """Wait until the service is ready, then open the page; give up after `READY_TIMEOUT_S`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        try:
            with direct.open(f"{url}/health/ready", timeout=5):
                webbrowser.open(url)
                return
        except OSError:  # not yet
            time.sleep(0.2)
