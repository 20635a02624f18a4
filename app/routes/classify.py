"""Which class is in a picture, and in which pose."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.answers import ClassifyAnswer
from app.results import Classification
from app.routes.bodies import read_picture
from app.routes.documentation import PICTURE_BODY, PICTURE_PROBLEMS
from app.routes.replies import AppSettings, OpenService, json, model_fields, prediction
from app.schemas import ClassifyParameters

router = APIRouter(tags=["pictures"])


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    response_description="Classes, lengths and poses.",
    responses=PICTURE_PROBLEMS,
    openapi_extra=PICTURE_BODY,
)
async def classify(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ClassifyParameters, Query()],
) -> Response:
    """Say what is in a picture.

    Gives the longest capsules as predictions, the lengths and poses of all capsules, and how far the reconstruction
    from the winning capsule is from the picture: `accepted` is false for what the model was not trained on.
    """
    data = await read_picture(request, settings.max_upload)
    found = await service.classify(
        data,
        model=parameters.model,
        preprocess=parameters.preprocess,
        top_k=parameters.top_k,
        verify=parameters.verify,
    )
    return json(_answer(found))


# Most requests are for this route, so it has a short way (see `shortcut`).
SHORT: dict[str, Any] = {"route": router.routes[-1], "schema": ClassifyParameters}


def _answer(found: Classification) -> dict[str, Any]:
    lengths, poses = found.capsules
    answer: dict[str, Any] = {
        **model_fields(found.model),
        "predictions": [prediction(found.model, index, lengths[index]) for index in found.ranking],
        "lengths": lengths,
        "poses": poses,
    }
    if found.check is not None:
        answer["reconstruction"] = found.check
    return answer
