"""Draw a sweep: the reconstruction as each dimension of the pose is moved."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from capsnet.answers import capsule_fields, sweep_fields

from ...inference.reconstruct import sweep_pose
from ...inference.results import Sweep
from ..dependencies import AppSettings, OpenService
from ..openapi import IMAGE_BODY, IMAGE_PROBLEMS, PNG_ANSWER
from ..request_body import read_image_file
from ..responses import base64_png, json, png, prefers_png, vary_on_accept
from ..schemas.requests import SweepParameters
from ..schemas.responses import SweepAnswer

router = APIRouter(tags=["images"])


@router.post(
    "/sweep",
    response_model=SweepAnswer,
    response_description="Frames as JSON, or the sheet as one image with `Accept: image/png`.",
    responses={200: {"content": PNG_ANSWER}, **IMAGE_PROBLEMS},
    openapi_extra=IMAGE_BODY,
)
async def sweep(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[SweepParameters, Query()],
) -> Response:
    """Draw the longest capsule, or that of another class, with one dimension of its pose moved at a time.

    `?dims=0,3&min=-0.25&max=0.25&steps=11` gives two rows of eleven frames: a row for each dimension, in the order of
    `dims`, and in it a column for each delta, from `min` to `max`. `?directions=slant,width` moves the whole pose
    along directions that the model's card names, each from its `minimum` to its `maximum`. With `Accept: image/png` the
    answer is the sheet: one image with the frames edge to edge, `steps` frames wide and a row of frames for each row.
    """
    data = await read_image_file(request, settings.max_upload)
    as_png = prefers_png(request)
    drawn = await sweep_pose(
        service,
        data,
        model=parameters.model,
        preprocess=parameters.preprocess,
        label=parameters.label,
        dims=parameters.rows,
        along=parameters.names,
        lowest=parameters.min,
        highest=parameters.max,
        steps=parameters.steps,
        as_sheet=as_png,
    )
    return vary_on_accept(png(drawn) if isinstance(drawn, bytes) else json(_answer(drawn)))


def _answer(drawn: Sweep) -> dict[str, Any]:
    along = [(each.property, amounts) for each, amounts in drawn.directions]
    frames = [list(map(base64_png, row)) for row in drawn.frames]
    return {
        **capsule_fields(drawn.model.card, drawn.label, drawn.length, drawn.pose),
        **sweep_fields(drawn.dims, drawn.deltas, along, frames),
        "input": base64_png(drawn.input),
        "reconstruction": base64_png(drawn.reconstruction),
    }
