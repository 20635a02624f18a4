"""Serve the Open Inference Protocol (KServe V2): tensors for programs, on the same queues as all other requests."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from capsnet.card import IMAGE, ModelCard

from ... import __version__
from ...errors import ContentTooLarge, UnknownVersion
from ...inference.models import LoadedModel
from ...inference.tensors import OUTPUTS, run_tensors
from .. import kserve_tensors
from ..dependencies import AppSettings, OpenService
from ..openapi import (
    HEADER_LENGTH,
    INFER_BODY,
    LENGTH_PARAMETER,
    NAME_PARAMETER,
    OCTETS_ANSWER,
    VERSION_PARAMETER,
    protocol_errors,
)
from ..request_body import read_body
from ..responses import json
from ..schemas.kserve import (
    InferAnswer,
    ModelConfiguration,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from ..state import state_of
from .health import require_ready

router = APIRouter(prefix="/v2", tags=["open inference protocol"])


async def get_model(request: Request, service: OpenService) -> LoadedModel:
    """Return the model that the path names; a version in the path must be the one in service. Raises Problem."""
    served = service.models.get(request.path_params["name"])
    version = request.path_params.get("version", served.card.version)
    if version != served.card.version:
        raise UnknownVersion(served.card.name, version, served.card.version)
    return served


EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]

# The stages of a model's queues through which an image is encoded.
ENCODING = ("classify", "encode")

NamedModel = Annotated[LoadedModel, Depends(get_model)]

# The paths of a model, with and without its version, take their parameters from `get_model`.
MODEL: dict[str, Any] = {"parameters": [NAME_PARAMETER]}
VERSION: dict[str, Any] = {"parameters": [NAME_PARAMETER, VERSION_PARAMETER]}


def _with_body(path: dict[str, Any]) -> dict[str, Any]:
    """Return the path of a model with the body of an inference added."""
    return {"parameters": [*path["parameters"], LENGTH_PARAMETER], **INFER_BODY}


@router.get("", response_model=ServerMetadata)
async def server_metadata() -> Response:
    """Name the server, and the extensions of the protocol that it offers."""
    return json({"name": "capsnet-service", "version": __version__, "extensions": EXTENSIONS})


@router.get("/health/live", response_model=ServerLive)
async def server_live() -> Response:
    """Answer as long as the process runs."""
    return json({"live": True})


@router.get("/health/ready", response_model=ServerReady, responses=protocol_errors(503))
async def server_ready(request: Request, service: OpenService) -> Response:
    """Answer 200 while all models answer requests, and 503 otherwise."""
    await require_ready(request, service, service.models)
    return json({"ready": True})


@router.get(
    "/models/{name}/ready",
    response_model=ModelReady,
    responses=protocol_errors(404, 503),
    openapi_extra=MODEL,
)
@router.get(
    "/models/{name}/versions/{version}/ready",
    response_model=ModelReady,
    responses=protocol_errors(404, 503),
    openapi_extra=VERSION,
)
async def model_ready(request: Request, service: OpenService, served: NamedModel) -> Response:
    """Answer 200 while the model answers requests, and 503 otherwise."""
    await require_ready(request, service, [served])
    return json({"name": served.card.name, "ready": True})


@router.get(
    "/models/{name}", response_model=ModelMetadata, responses=protocol_errors(404, 503), openapi_extra=MODEL
)
@router.get(
    "/models/{name}/versions/{version}",
    response_model=ModelMetadata,
    responses=protocol_errors(404, 503),
    openapi_extra=VERSION,
)
async def model_metadata(served: NamedModel) -> Response:
    """Give the names, types and shapes of a model's input and outputs."""
    card = served.card
    return json(
        {
            "name": card.name,
            "versions": [card.version],
            "platform": "onnx_onnxv1",
            "inputs": [_tensor(IMAGE, card.config.image_shape)],
            "outputs": [_tensor(name, shape) for name, shape in _output_shapes(card).items()],
        }
    )


@router.get(
    "/models/{name}/config",
    response_model=ModelConfiguration,
    responses=protocol_errors(404, 503),
    openapi_extra=MODEL,
)
@router.get(
    "/models/{name}/versions/{version}/config",
    response_model=ModelConfiguration,
    responses=protocol_errors(404, 503),
    openapi_extra=VERSION,
)
async def model_config(served: NamedModel, settings: AppSettings) -> Response:
    """Say how a model is served: sizes, precision, and what computes it."""
    card = served.card
    described = {
        "version": card.version,
        "architecture": card.config.architecture,
        "precision": served.precision,
        "provider": served.provider,
    }
    return json(
        {
            "name": card.name,
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "max_batch_size": settings.max_batch,
            "input": [_config_tensor(IMAGE, card.config.image_shape)],
            "output": [_config_tensor(name, shape) for name, shape in _output_shapes(card).items()],
            "parameters": {name: {"string_value": value} for name, value in described.items()},
        }
    )


@router.get(
    "/models/{name}/stats",
    response_model=ModelStatistics,
    responses=protocol_errors(404, 503),
    openapi_extra=MODEL,
)
@router.get(
    "/models/{name}/versions/{version}/stats",
    response_model=ModelStatistics,
    responses=protocol_errors(404, 503),
    openapi_extra=VERSION,
)
async def model_stats(request: Request, served: NamedModel) -> Response:
    """Count what a model has done since the start of the service, over all workers."""
    counted = state_of(request.app).metrics
    counted.count()
    numbers = await asyncio.to_thread(counted.of_model, served.card.name, ENCODING)

    def duration(name: str) -> dict[str, int]:
        return {
            "count": int(numbers.get(f"{name}_count", 0)),
            "ns": round(1e9 * numbers.get(f"{name}_sum", 0.0)),
        }

    waits, runs = duration("capsnet_queue_wait_seconds"), duration("capsnet_batch_duration_seconds")
    statistics = {
        "success": {"count": waits["count"], "ns": waits["ns"] + runs["ns"]},
        "fail": {"count": int(numbers.get("capsnet_batch_failures_total", 0)), "ns": 0},
        "queue": waits,
        "compute_infer": runs,
    }
    entry = {
        "name": served.card.name,
        "version": served.card.version,
        "inference_count": int(numbers.get("capsnet_batch_items_sum", 0)),
        "execution_count": runs["count"],
        "inference_stats": statistics,
    }
    return json({"model_stats": [entry]})


@router.post(
    "/models/{name}/infer",
    response_model=InferAnswer,
    responses={200: OCTETS_ANSWER, **protocol_errors(400, 404, 408, 413, 415, 500, 503)},
    openapi_extra=_with_body(MODEL),
)
@router.post(
    "/models/{name}/versions/{version}/infer",
    response_model=InferAnswer,
    responses={200: OCTETS_ANSWER, **protocol_errors(400, 404, 408, 413, 415, 500, 503)},
    openapi_extra=_with_body(VERSION),
)
async def infer(
    request: Request, service: OpenService, settings: AppSettings, served: NamedModel
) -> Response:
    """Give lengths, poses and reconstructions of images.

    The images have been prepared by the client, as the model's card says: float32 from 0 to 1, light strokes on dark.
    The values of up to 64 stand in the JSON; those of any number stand behind it as bytes, little-endian and row by
    row, with the header `Inference-Header-Content-Length`, which is many times faster. Only the outputs that are asked
    for are computed; `reconstruction` is drawn from the longest capsule of each image, or from as many as the model
    looks for. All images are taken together or, with 503, not at all.
    """
    shape = served.card.config.image_shape
    given = request.headers.get(HEADER_LENGTH)
    longest = settings.max_upload if given is not None else kserve_tensors.max_json_bytes(shape)
    try:
        body = await read_body(request, min(settings.max_upload, longest))
    except ContentTooLarge as error:
        if given is None:
            error.detail += f"; values as bytes, with the header {HEADER_LENGTH}, need less"
        raise
    asked = kserve_tensors.parse(body, kserve_tensors.header_length(given, body), shape)
    found = await run_tensors(service, served, asked.images, asked.outputs)
    return kserve_tensors.encode_response(served, asked, found)


def _output_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output, without the number of images."""
    capsules = (card.config.num_classes, card.config.pose_dim)
    return dict(zip(OUTPUTS, (capsules[:1], capsules, card.config.image_shape), strict=True))


def _config_tensor(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "data_type": f"TYPE_{kserve_tensors.DATATYPE}", "dims": list(shape)}


def _tensor(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": kserve_tensors.DATATYPE, "shape": [-1, *shape]}
