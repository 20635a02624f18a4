"""Pages for people: the playground, and the OpenAPI document to read and to try out, from this host alone."""

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
    """The script and the style sheet of Swagger UI, which the package fastapi-offline carries."""
    return StaticFiles(Path(str(importlib.resources.files("fastapi_offline"))) / "static")


@router.get("/")
async def landing_page(request: Request) -> Response:
    """The playground, in the language of `?lang=` or of the browser."""
    language = choose_language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    response = playground.respond_page(request, render_page(language))
    response.headers["Content-Language"] = language
    response.headers.add_vary_header("Accept-Language")
    response.headers.update(PLAYGROUND)  # also of a 304: the browser takes it for the page that it has
    return response


@router.get("/docs")
async def documentation(request: Request) -> HTMLResponse:
    """The OpenAPI document in Swagger UI."""
    # Relative, so that they lead to this service whatever path a proxy has put before it.
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
    """The SHA-256, in base64, of each script that stands in a page: by these a policy can allow them."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
