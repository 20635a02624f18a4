"""Transform an image, and read how its pose changes."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from capsnet.answers import capsule_fields, transformation_fields

from ...inference.results import Transformation
from ...inference.transform import transform_image
from ..dependencies import AppSettings, OpenService
from ..openapi import IMAGE_BODY, IMAGE_PROBLEMS
from ..request_body import read_image_file
from ..responses import base64_png, json
from ..schemas.transform import TransformAnswer, TransformParameters

router = APIRouter(tags=["images"])


@router.post(
    "/transform",
    response_model=TransformAnswer,
    response_description="A step for each amount.",
    responses=IMAGE_PROBLEMS,
    openapi_extra=IMAGE_BODY,
)
async def transform(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[TransformParameters, Query()],
) -> Response:
    """Turn, slant, scale, thicken or shift an image in steps, and read one capsule in each.

    The image is transformed as the network sees it, after it was read. Each step has the capsule's length, its pose,
    and the pose that the model's direction foretells from the image as it came. A network without capsules gives
    the probability of the class and its features in their places.
    """
    data = await read_image_file(request, settings.max_upload)
    found = await transform_image(
        service,
        data,
        model=parameters.model,
        preprocess=parameters.preprocess,
        label=parameters.label,
        by=parameters.by,
        lowest=parameters.lowest,
        highest=parameters.highest,
        steps=parameters.steps,
    )
    return json(_answer(found))


def _answer(found: Transformation) -> dict[str, Any]:
    steps = [
        {
            "amount": step.amount,
            "length": step.length,
            "pose": step.pose,
            "foretold": step.foretold,
            "input": base64_png(step.input),
            "reconstruction": base64_png(step.reconstruction),
            "foretold_reconstruction": None
            if step.foretold_reconstruction is None
            else base64_png(step.foretold_reconstruction),
        }
        for step in found.steps
    ]
    return {
        **capsule_fields(found.model.card, found.label, found.length, found.pose),
        **transformation_fields(found.property, found.direction, found.explained, found.linearity, steps),
    }
