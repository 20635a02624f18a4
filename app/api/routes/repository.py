"""Serve the model repository extension of the Open Inference Protocol: list, load and unload models."""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response

from ...errors import BadRequest
from ...inference.model_loading import Repository
from ..authentication import check_admin
from ..dependencies import OpenService
from ..openapi import CHANGE_BODY, INDEX_BODY, NAME_PARAMETER, protocol_errors
from ..request_body import read_body
from ..responses import json
from ..schemas.kserve import IndexEntry, ModelChanged
from ..state import state_of

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"])

# Bodies hold a few parameters at most.
MAX_BODY_BYTES = 10_000


async def get_repository(request: Request, service: OpenService) -> Repository:
    """Return the model repository while the service takes requests."""
    return state_of(request.app).repository


async def get_admin_repository(request: Request, service: OpenService) -> Repository:
    """Return the model repository for a client that may change the served models; raises Problem."""
    state = state_of(request.app)
    check_admin(state.admin_keys, request.headers.get)
    return state.repository


OpenRepository = Annotated[Repository, Depends(get_repository)]
AdminRepository = Annotated[Repository, Depends(get_admin_repository)]
CHANGE: dict[str, Any] = {"parameters": [NAME_PARAMETER], **CHANGE_BODY}


@router.post(
    "/index",
    response_model=list[IndexEntry],
    responses=protocol_errors(400, 408, 413, 415, 500, 503),
    openapi_extra=INDEX_BODY,
)
async def repository_index(request: Request, repository: OpenRepository) -> Response:
    """List the models of the folder: those in service are `READY`, the others say why they are not."""
    ready_only = (await _read_object(request)).get("ready") is True
    entries = await asyncio.to_thread(repository.index)
    return json(
        [
            {
                "name": entry.name,
                "version": entry.version,
                "state": "READY" if entry.served else "UNAVAILABLE",
                "reason": entry.reason,
            }
            for entry in entries
            if entry.served or not ready_only
        ]
    )


@router.post(
    "/models/{name}/load",
    response_model=ModelChanged,
    responses=protocol_errors(400, 401, 403, 404, 408, 413, 415, 500, 503),
    openapi_extra=CHANGE,
)
async def load_model(request: Request, repository: AdminRepository) -> Response:
    """Serve a model as its files are now, in all workers. Needs a key of `CAPSNET_ADMIN_KEYS`.

    The answer comes when every worker serves it. Requests under way finish with the model that they began with.
    """
    await _read_object(request)
    card = await repository.load(request.path_params["name"])
    return json({"name": card.name, "version": card.version, "state": "READY"})


@router.post(
    "/models/{name}/unload",
    response_model=ModelChanged,
    responses=protocol_errors(400, 401, 403, 404, 408, 413, 415, 500, 503),
    openapi_extra=CHANGE,
)
async def unload_model(request: Request, repository: AdminRepository) -> Response:
    """Serve a model no longer, in any worker. Needs a key of `CAPSNET_ADMIN_KEYS`.

    The default model cannot be unloaded.
    """
    await _read_object(request)
    await repository.unload(request.path_params["name"])
    return json({"name": request.path_params["name"], "version": "", "state": "UNAVAILABLE"})


async def _read_object(request: Request) -> dict[str, Any]:
    """Read the JSON object in the body; empty where there is no body. Raises BadRequest."""
    body = await read_body(request, MAX_BODY_BYTES)
    if not body:
        return {}
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BadRequest("the body should be a JSON object")
    return content
