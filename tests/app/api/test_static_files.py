"""The playground's files over HTTP: their names, their encodings, and how long they may be kept."""

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from app.api.compression import accepts_gzip
from app.api.playground import STATIC
from app.api.static_files import FOREVER, Playground
from tests.app.server_process import serving

PAGE = b"""<!doctype html>
  <link rel="icon" href="static/icon.svg">
  <link rel="stylesheet" href="static/css/a.css">
  <link rel="stylesheet" href="static/css/b.css">
  <script type="module" src="static/js/main.js"></script>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a small page."""
    files = {
        "index.html": PAGE,
        "icon.svg": b"<svg/>",
        "css/a.css": b"a { top: 0 }\n" * 200,
        "css/b.css": b"b { top: 0 }\n",
        "js/main.js": b'import { A } from "./a.js";\nconsole.log(A);\n',
        "js/a.js": b"export const A = 1;\n",
        "image.png": random.Random(1).randbytes(5000),
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def playground(folder: Path) -> Playground:
    """That page."""
    return Playground(folder)


class Small:
    """A client for the files of that page, below a path as the service mounts them."""

    def __init__(self, playground: Playground) -> None:
        self._app = FastAPI()
        self._app.mount("/static", playground)

    def get(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """Ask for a file."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())


@pytest.fixture
def small(playground: Playground) -> Small:
    return Small(playground)


def links(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', page)


def page_of(playground: Playground) -> str:
    """The page as it is answered."""
    request = Request({"type": "http", "method": "GET", "headers": []})
    return bytes(playground.respond_page(request, PAGE.decode()).body).decode()


def test_the_page_links_one_script_and_one_style_sheet(playground: Playground) -> None:
    names = [f"static/{playground.version}/{name}" for name in ("icon.svg", "css/bundle.css", "js/bundle.js")]
    assert links(page_of(playground)) == names


def test_a_file_under_the_hash_may_be_kept_for_ever(playground: Playground, small: Small) -> None:
    for name in ("js/main.js", "js/a.js", "js/bundle.js", "css/bundle.css", "image.png"):
        reply = small.get(f"/static/{playground.version}/{name}")
        assert reply.headers["cache-control"] == FOREVER == "public, max-age=31536000, immutable"
    assert small.get("/static/js/main.js").headers["cache-control"] == "no-cache"


def test_a_changed_file_changes_the_hash_and_the_page(
    playground: Playground, folder: Path, small: Small
) -> None:
    before, page = playground.version, page_of(playground)
    assert not playground.refresh()
    (folder / "js" / "a.js").write_bytes(b"export const A = 22;\n")
    assert playground.refresh()
    assert playground.version != before
    assert page_of(playground) != page
    # What an open page of the version before still asks for is there, and is not kept under that name.
    old = small.get(f"/static/{before}/js/a.js")
    assert (old.text, old.headers["cache-control"]) == ("export const A = 22;\n", "no-cache")


def test_text_is_compressed_for_those_who_take_it(playground: Playground, small: Small) -> None:
    address = f"/static/{playground.version}/css/bundle.css"
    plain = small.get(address, headers={"Accept-Encoding": "identity"})
    packed = small.get(address, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert packed.content == plain.content
    assert plain.headers["content-type"] == "text/css; charset=utf-8"


def test_an_image_is_sent_as_it_is(small: Small) -> None:
    reply = small.get("/static/image.png")
    assert int(reply.headers["content-length"]) > 1000
    assert "content-encoding" not in reply.headers
    assert reply.headers["content-type"] == "image/png"


def test_what_a_client_has_is_not_sent_again(small: Small) -> None:
    first = small.get("/static/css/a.css")
    for tag in (first.headers["etag"], f'"other", {first.headers["etag"]}'):
        again = small.get("/static/css/a.css", headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert small.get("/static/css/a.css", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/static/", "/static/gone.js", "/static/../index.html", "/static/js", "/static/%ff"]
)
def test_what_is_not_there_is_404(small: Small, path: str) -> None:
    assert small.get(path).status_code == 404


def test_files_are_read_alone(small: Small) -> None:
    assert small.get("/static/js/a.js", method="POST").status_code == 405


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br, GZIP ; q=0.1", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=much", False),
    ],
)
def test_gzip_is_for_those_who_name_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


def test_each_module_of_the_shipped_page_is_joined() -> None:
    playground = Playground(STATIC)
    found = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in STATIC.rglob("*.*")}
    made = playground.prepare(found)
    joined = "".join(made[name].decode() for name in made.keys() - found.keys() if name.endswith(".js"))
    modules = {name for name in found if name.endswith(".js")}
    assert {name for name in modules if f'modules["{name}"] ??=' not in joined} == set()


def test_both_servers_send_compressed_files_below_a_path(tiny_models: Path, tmp_path: Path) -> None:
    """Under plain uvicorn and with the fast path; the page's links are relative, so a proxy's path stays."""
    for server in ("", "uvicorn"):
        settings = {"server": server} if server else {}
        with serving(tmp_path / "log", models=tiny_models, root_path="/digits", **settings) as running:
            page = running.client.get("/")
            assert page.headers["content-encoding"] == "gzip"
            assert page.headers["cache-control"] == "no-cache"
            for link in links(page.text):
                if not link.startswith("static/"):
                    continue
                reply = running.client.get(f"/{link}")
                assert (reply.status_code, reply.headers["cache-control"]) == (200, FOREVER)
                assert (
                    running.client.head(f"/{link}").headers["content-length"]
                    == reply.headers["content-length"]
                )


def test_lists_of_models_are_compressed(client: httpx.Client) -> None:
    for path in ("/models", "/models/mnist"):
        reply = client.get(path)
        assert reply.headers["content-encoding"] == "gzip"
        assert reply.json() == client.get(path, headers={"Accept-Encoding": "identity"}).json()
