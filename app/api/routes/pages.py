"""Pages for people: the playground, and Swagger UI, without files from other hosts."""

import base64
import functools
import hashlib
import importlib.resources
import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from ..playground import STATIC, choose_language, render_page
from ..security_headers import PLAYGROUND, page_policy
from ..static_files import Playground, StaticFiles

router = APIRouter(include_in_schema=False)

playground = Playground(STATIC)


@functools.cache
def swagger_assets() -> StaticFiles:
    """Return the script and the style sheet of Swagger UI, from the package fastapi-offline."""
    return StaticFiles(Path(str(importlib.resources.files("fastapi_offline"))) / "static")


@router.get("/")
async def landing_page(request: Request) -> Response:
    """Answer with the playground, in the language of `?lang=` or of the browser."""
    language = choose_language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    response = playground.respond_page(request, render_page(language))
    response.headers["Content-Language"] = language
    response.headers.add_vary_header("Accept-Language")
    response.headers.update(PLAYGROUND)  # also with a 304, for the page that the browser has cached
    return response


@router.get("/docs")
async def documentation(request: Request) -> HTMLResponse:
    """Answer with the OpenAPI document in Swagger UI."""
    # Relative paths stay right behind a proxy that adds a prefix.
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=request.app.title,
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    page.headers.update(page_policy(*_inline_scripts(bytes(page.body))))
    return page


def _inline_scripts(page: bytes) -> list[str]:
    """Return the SHA-256, in base64, of each inline script of a page, for its content security policy."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
