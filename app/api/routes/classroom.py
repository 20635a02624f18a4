"""Give the address of the playground for the devices of a class, also as a QR code."""

import io
from urllib.parse import quote

import segno
from fastapi import APIRouter, Request, Response

from ..authentication import extract_api_key
from ..local_network import local_url
from ..responses import json
from ..state import state_of

# Light modules around a code, without which cameras do not find it (ISO/IEC 18004).
QUIET_ZONE = 4

router = APIRouter(include_in_schema=False)


@router.get("/classroom")
async def classroom(request: Request) -> Response:
    """Give the address in the local network, with the key of this request, and its QR code as SVG.

    Both are null where other devices cannot reach the service; the code alone where the address is too long for one.
    The key stands in the fragment, which browsers send to no server. A key that may change the models is never told.
    """
    state = state_of(request.app)
    address = local_url(state.settings)
    if address is None:
        return json({"url": None, "qr": None})
    given = extract_api_key(request.headers.get)
    if state.authenticator and state.authenticator.is_client_key(given):
        address += f"#key={quote(given, safe='')}"
    try:
        code = qr_code(address)
    except segno.DataOverflowError:
        code = None
    reply = json({"url": address, "qr": code})
    reply.headers["Cache-Control"] = "no-store"
    return reply


def qr_code(text: str) -> str:
    """Return a text as a QR code: an SVG document, black on white in every theme; raises DataOverflowError."""
    file = io.BytesIO()
    code = segno.make_qr(text, error="m")
    code.save(
        file,
        kind="svg",
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        omitsize=True,
        svgclass=None,
        lineclass=None,
    )
    return file.getvalue().decode()
