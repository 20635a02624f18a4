"""Reconstruct an image from its pose, or draw poses alone."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from capsnet.answers import capsule_fields, model_fields, movement_fields

from ...errors import InvalidParameter
from ...inference.reconstruct import decode_poses, reconstruct_image
from ...inference.results import Reconstruction
from ..dependencies import AppSettings, OpenService
from ..openapi import IMAGE_BODY, IMAGE_PROBLEMS, PNG_ANSWER
from ..request_body import read_image_file, read_json
from ..responses import base64_png, json, png, prefers_png, vary_on_accept
from ..schemas.requests import DecodeRequest, NoParameters, ReconstructParameters, longest_decode_body
from ..schemas.responses import DecodeAnswer, ReconstructAnswer

router = APIRouter(tags=["images"])

DECODE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": DecodeRequest.model_json_schema()}},
    }
}


@router.post(
    "/reconstruct",
    response_model=ReconstructAnswer,
    response_description="Pose and images as JSON, or the perturbed image with `Accept: image/png`.",
    responses={200: {"content": PNG_ANSWER}, **IMAGE_PROBLEMS},
    openapi_extra=IMAGE_BODY,
)
async def reconstruct(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ReconstructParameters, Query()],
) -> Response:
    """Draw an image again from its longest capsule, or from that of another class, and with the pose moved.

    `direction` and `amount` come in pairs: `?direction=slant&amount=12` slants the image by 12 degrees to the right.
    The directions of each class, with their units and bounds, stand on the model's card (`GET /models`). `dim` and
    `delta` come in pairs too: `?dim=3&delta=0.1&dim=5&delta=-0.2` moves two dimensions of the pose. With
    `Accept: image/png` the answer is the perturbed image itself.
    """
    data = await read_image_file(request, settings.max_upload)
    along = list(zip(parameters.direction, parameters.amount, strict=True))
    perturbations = list(zip(parameters.dim, parameters.delta, strict=True))
    drawn = await reconstruct_image(
        service,
        data,
        model=parameters.model,
        preprocess=parameters.preprocess,
        label=parameters.label,
        perturbations=perturbations,
        along=along,
    )
    reply = png(drawn.perturbed) if prefers_png(request) else json(_answer(drawn, perturbations, along))
    return vary_on_accept(reply)


@router.post(
    "/decode",
    response_model=DecodeAnswer,
    response_description="Images as JSON, or the image of a single pose with `Accept: image/png`.",
    responses={200: {"content": PNG_ANSWER}, **IMAGE_PROBLEMS},
    openapi_extra=DECODE_BODY,
)
async def decode(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[NoParameters, Query()],
) -> Response:
    """Draw capsules from their poses alone: one `pose`, or up to 1,024 `poses`."""
    limit = min(settings.max_upload, longest_decode_body(service.models.widest_pose))
    asked = await read_json(request, limit, DecodeRequest)
    as_png = prefers_png(request)
    if as_png and len(asked.all_poses) > 1:
        raise InvalidParameter.of(
            "field 'poses'",
            f"{len(asked.all_poses)} long",
            "image/png is one image; accept application/json",
        )
    model, files = await decode_poses(
        service, model=asked.model, labels=asked.all_labels, poses=asked.all_poses
    )
    reply = (
        png(files[0])
        if as_png
        else json({**model_fields(model.card), "images": list(map(base64_png, files))})
    )
    return vary_on_accept(reply)


def _answer(
    drawn: Reconstruction, perturbations: list[tuple[int, float]], along: list[tuple[str, float]]
) -> dict[str, Any]:
    return {
        **capsule_fields(drawn.model.card, drawn.label, drawn.length, drawn.pose),
        "perturbed_pose": drawn.perturbed_pose,
        **movement_fields(perturbations, along),
        "distance": drawn.distance,
        "input": base64_png(drawn.input),
        "reconstruction": base64_png(drawn.reconstruction),
        "perturbed": base64_png(drawn.perturbed),
    }
