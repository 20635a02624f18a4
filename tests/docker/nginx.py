"""Debian's nginx on loopback, with the configuration that the proxy's container has."""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx

from tests.app.server_process import ROOT, free_port

TEMPLATE = ROOT / "docker" / "nginx.conf.template"


class Proxy:
    """A running nginx: its address, and its log of requests."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.log = log
        # A client that is not on the address from which nginx talks to the processes.
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        self.client = httpx.Client(base_url=url, transport=transport, timeout=60)


def configuration(port: int, backends: Sequence[int], folder: Path) -> str:
    """The template, filled in for processes on these ports; what it keeps in /tmp is kept in `folder`."""
    values = {
        "CAPSNET_PROXY_PORT": f"127.0.0.1:{port}",
        "CAPSNET_PROXY_BACKENDS": " ".join(
            f"server 127.0.0.1:{backend} max_fails=1 fail_timeout=5s;" for backend in backends
        ),
        "CAPSNET_PROXY_RESOLVER": "127.0.0.1",
    }
    text = re.sub(r"\$\{(\w+)\}", lambda name: values[name[1]], TEMPLATE.read_text())
    return text.replace("/tmp/", f"{folder}/")


# The configuration of a reader of one page of nginx's documentation; only bodies may be large.
PLAIN = """
user root;
pid {folder}/pid;
events {{}}
http {{
  access_log /dev/stdout;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 100m;
  server {{
    listen 127.0.0.1:{port};
    location = /metrics {{ return 200; }}
    location / {{ proxy_pass http://127.0.0.1:{backend}; }}
  }}
}}
"""


def plain_configuration(port: int, backends: Sequence[int], folder: Path) -> str:
    """Return a configuration that sets nothing but where requests go."""
    return PLAIN.format(folder=folder, port=port, backend=backends[0])


def prefix_configuration(*, strips: bool) -> Callable[[int, Sequence[int], Path], str]:
    """Return what makes a configuration with the service below /digits/, a path that nginx takes off or keeps."""

    def configure(port: int, backends: Sequence[int], folder: Path) -> str:
        plain = plain_configuration(port, backends, folder)
        target = f"proxy_pass http://127.0.0.1:{backends[0]}"
        below = f"location /digits/ {{ {target}{'/' * strips}; }}\n    location / {{ return 403; }}"
        return plain.replace(f"location / {{ {target}; }}", below)

    return configure


@contextlib.contextmanager
def proxying(
    backends: Sequence[int],
    folder: Path,
    configure: Callable[[int, Sequence[int], Path], str] = configuration,
) -> Iterator[Proxy]:
    """A proxy before processes on these ports, stopped at the end."""
    folder.mkdir()
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(configure(port, backends, folder))
    with (folder / "log").open("w") as log, (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            ["nginx", "-p", folder, "-c", file, "-g", "daemon off;"], stdout=log, stderr=errors
        )
    proxy = Proxy(f"http://127.0.0.1:{port}", folder / "log")
    try:
        _wait(proxy, process, folder / "errors")
        yield proxy
    finally:
        proxy.client.close()
        process.terminate()
        process.wait(timeout=30)


def _wait(proxy: Proxy, process: subprocess.Popen[bytes], errors: Path) -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            proxy.client.get("/metrics")  # which nginx answers itself
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx did not start:\n{errors.read_text()}")
