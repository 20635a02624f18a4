"""Serve the playground's files under names that change with their content, so that browsers cache them for good.

`static/js/main.js` is also `static/HASH/js/main.js`, and relative imports lead from there to files of the same HASH.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import mimetypes
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from .compression import compress
from .module_bundle import BUNDLE, join_modules, join_styles

# Fixed here, because the tables of the machine may differ: a browser runs no module of another type.
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}

FOREVER = "public, max-age=31536000, immutable"
# A browser asks each time, and gets the file only where it has changed.
REVALIDATE = "no-cache"

VERSION = re.compile(r"/(?P<version>[0-9a-f]{16})/")

PAGE = "index.html"
SCRIPT = re.compile(r'<script type="module" src="static/([^"]+)"></script>')
STYLE = re.compile(r'[ ]*<link rel="stylesheet" href="static/([^"]+)">\n')
LINK = re.compile(r'(?<=[" ])static/')


@dataclass(frozen=True)
class StaticFile:
    """The bytes of a file, and their type."""

    content: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        """Return a weak tag: the same file is sent with and without compression."""
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class StaticFiles:
    """An ASGI application that answers with the files of a folder from memory.

    Parameters
    ----------
    folder
        Files in subfolders are among its files. They are read at the first request, and again by `refresh`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: object = None
        self._files: dict[str, StaticFile] = {}
        self.version = ""

    def refresh(self) -> bool:
        """Read the folder again if a file in it has changed, and tell whether."""
        paths = [path for path in sorted(self._folder.rglob("*")) if path.is_file()]
        stamp = [(path, status.st_mtime_ns, status.st_size) for path in paths for status in [path.stat()]]
        if stamp == self._stamp:
            return False
        files = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
        self._files = {name: _static_file(name, content) for name, content in self.prepare(files).items()}
        self.version = _hash(self._files)
        self._stamp = stamp
        return True

    def prepare(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Return the files to serve by their paths, made from the files of the folder."""
        return files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self.respond(
            Request(scope, receive, send), scope["path"].removeprefix(scope.get("root_path", ""))
        )
        await response(scope, receive, send)

    def respond(self, request: Request, path: str) -> Response:
        """Answer a request for the file at a path; raises HTTPException."""
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        if self._stamp is None:
            self.refresh()
        versioned = VERSION.match(path)
        name = path[versioned.end() :] if versioned else path.removeprefix("/")
        if (file := self._files.get(name)) is None:
            raise HTTPException(404)
        # A page of another version, open since before or from another machine, gets the current file.
        is_current = versioned is not None and versioned["version"] == self.version
        return answer(request, file, FOREVER if is_current else REVALIDATE)


class Playground(StaticFiles):
    """The files of the playground, and its page with links to them.

    The page's modules are also there as one file, and so are its style sheets (`module_bundle`).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.refresh()  # a module that cannot be joined fails at the start

    def prepare(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Add the joined modules and style sheets that the page links; raises ValueError."""
        page = files[PAGE].decode()
        texts = {name: content.decode() for name, content in files.items() if name.endswith((".js", ".css"))}
        styles = STYLE.findall(page)
        joined = {_beside(styles[0], "css"): join_styles(texts, styles)} if styles else {}
        for entry in SCRIPT.findall(page):
            joined |= join_modules(texts, entry)
        return files | {name: text.encode() for name, text in joined.items()}

    def respond_page(self, request: Request, page: str) -> Response:
        """Answer with the page in its language; a browser must check each time that it is current."""
        # While only some files have been replaced by newer ones, it serves the old ones.
        with contextlib.suppress(OSError, ValueError, KeyError):
            self.refresh()
        return answer(request, _link(page, self.version), REVALIDATE)


@functools.lru_cache(16)
def _link(page: str, version: str) -> StaticFile:
    """Return the page with links to the joined files under their lasting names."""
    styles = iter(STYLE.findall(page)[:1])
    page = STYLE.sub(lambda found: _style(next(styles, None)), page)
    page = SCRIPT.sub(lambda found: found[0].replace(found[1], _beside(found[1], "js")), page)
    return _static_file(PAGE, LINK.sub(f"static/{version}/", page).encode())


def answer(request: Request, file: StaticFile, cache_control: str) -> Response:
    """Answer with a file, or with 304 where the client has it."""
    headers = {"ETag": file.etag, "Cache-Control": cache_control}
    if file.etag in _etags(request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers | {"Vary": "Accept-Encoding"})
    return compress(request, Response(file.content, media_type=file.media_type, headers=headers))


def _etags(headers: list[str]) -> list[str]:
    return [tag.strip() for header in headers for tag in header.split(",")]


def _static_file(name: str, content: bytes) -> StaticFile:
    extension = posixpath.splitext(name)[1]
    guessed: Any = TYPES.get(extension) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return StaticFile(content, guessed)


def _hash(files: dict[str, StaticFile]) -> str:
    """Return a hash of all files, 16 hexadecimal digits: a module's address must change with those that it imports."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name}\0{len(file.content)}\0".encode() + file.content)
    return digest.hexdigest()[:16]


def _beside(name: str, extension: str) -> str:
    return posixpath.join(posixpath.dirname(name), f"{BUNDLE}.{extension}")


def _style(first: str | None) -> str:
    """Return the link to the joined style sheet in place of the first link, and nothing in place of the others."""
    return f'  <link rel="stylesheet" href="static/{_beside(first, "css")}">\n' if first else ""
