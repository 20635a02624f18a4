"""Pages for people: the landing page, and the OpenAPI document to read and to try out, from this host alone."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from starlette.staticfiles import StaticFiles

from app.headers import page_policy

STATIC = Path(__file__).resolve().parent.parent / "static"

router = APIRouter(include_in_schema=False)


def swagger_assets() -> StaticFiles:
    """The script and the style sheet of Swagger UI, which the package fastapi-offline carries."""
    return StaticFiles(packages=[("fastapi_offline", "static")])


@router.get("/")
async def landing_page() -> FileResponse:
    """What the service is and how to talk to it."""
    return FileResponse(STATIC / "index.html", headers=page_policy())


@router.get("/docs")
async def documentation(request: Request) -> HTMLResponse:
    """The OpenAPI document in Swagger UI."""
    root = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    page.headers.update(page_policy(*_inline_scripts(bytes(page.body))))
    return page


def _inline_scripts(page: bytes) -> list[str]:
    """The SHA-256, in base64, of each script that stands in a page: by these a policy can allow them."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
