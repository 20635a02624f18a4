"""Classify images, one or many a request."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from capsnet.answers import classification_fields

from ...errors import Problem, unwrap
from ...inference.classify import classify_images
from ...inference.results import Classification
from ...inference.service import InferenceService
from ..dependencies import AppSettings, OpenService
from ..openapi import IMAGE_BODY, IMAGE_PROBLEMS, IMAGES_BODY
from ..problem_details import describe
from ..request_body import read_image_file, read_image_files
from ..responses import JsonResponse, base64_png, dump_json, json
from ..schemas import responses
from ..schemas.requests import ClassifyParameters
from ..schemas.responses import ClassifyAnswer

router = APIRouter(tags=["images"])


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    response_description="Classes, lengths and poses.",
    responses=IMAGE_PROBLEMS,
    openapi_extra=IMAGE_BODY,
)
async def classify(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ClassifyParameters, Query()],
) -> Response:
    """Classify an image.

    Gives the longest capsules as predictions, the lengths and poses of all capsules, and how far the reconstruction
    from the winning capsule is from the image: `accepted` is false for what the model was not trained on.
    """
    data = await read_image_file(request, settings.max_upload)
    return JsonResponse(await answer(service, data, parameters))


async def answer(service: InferenceService, data: bytes, parameters: ClassifyParameters) -> bytes:
    """Return the answer of `/classify` for an image file, as JSON; raises Problem."""
    found = unwrap((await _classify(service, [data], parameters))[0])
    return dump_json(_answer(found))


# Most requests are for this route, so it has a shorter way (see `fast_route`).
FAST_ROUTE: dict[str, Any] = {"route": router.routes[-1], "schema": ClassifyParameters}


@router.post(
    "/classify/batch",
    response_model=list[ClassifyAnswer | responses.Problem],
    response_description="An answer or a problem for each image, in order.",
    responses=IMAGE_PROBLEMS,
    openapi_extra=IMAGES_BODY,
)
async def classify_batch(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ClassifyParameters, Query()],
) -> Response:
    """Classify each of many images.

    The fields `file` of a form, up to 256 of them, are answered with a list in their order: for each image what
    `/classify` answers, or the problem with it, which leaves the others untouched. A problem has a `status`, an answer
    has none. The images are taken all together or, with 503, not at all.
    """
    files = await read_image_files(request, settings.max_upload)
    found = await _classify(service, files, parameters)
    return json(
        [_answer(each) if isinstance(each, Classification) else describe(request, each) for each in found]
    )


async def _classify(
    service: InferenceService, files: Sequence[bytes], parameters: ClassifyParameters
) -> list[Classification | Problem]:
    return await classify_images(
        service,
        files,
        model=parameters.model,
        preprocess=parameters.preprocess,
        top_k=parameters.top_k,
        verify=parameters.verify,
        reconstruct=parameters.reconstruct,
    )


def _answer(found: Classification) -> dict[str, Any]:
    lengths, poses = found.capsules
    answer = classification_fields(
        found.model.card, found.ranking, lengths, poses, found.check, found.counted
    )
    if found.input is not None:
        answer |= {"input": base64_png(found.input), "drawings": list(map(base64_png, found.drawings))}
    return answer
