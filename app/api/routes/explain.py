"""Show which parts of an image are the evidence for a class."""

import base64
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from capsnet.answers import model_fields, prediction

from ...inference.explain import explain_image
from ..dependencies import AppSettings, OpenService
from ..openapi import IMAGE_BODY, IMAGE_PROBLEMS, PNG_ANSWER
from ..request_body import read_image_file
from ..responses import json, png, prefers_png, vary_on_accept
from ..schemas.explain import ExplainParameters, OcclusionAnswer, VotesAnswer

router = APIRouter(tags=["images"])


@router.post(
    "/explain",
    response_model=VotesAnswer | OcclusionAnswer,
    response_description="Numbers and heat as JSON, or the heat map over the image with `Accept: image/png`.",
    responses={200: {"content": PNG_ANSWER}, **IMAGE_PROBLEMS},
    openapi_extra=IMAGE_BODY,
)
async def explain(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ExplainParameters, Query()],
) -> Response:
    """Say where the evidence for the longest capsule lies, or for that of another class.

    Where the capsules below have a place in the image (`mnist-capsnet`, `mnist-shared`), the answer says where their
    votes for the class come from in each iteration of the routing. Other models are asked from outside, by occlusion:
    the image is covered patch by patch, in one batch, and the capsule shortens. With `Accept: image/png` the answer
    is the heat map over the image; of votes that of the last iteration.
    """
    data = await read_image_file(request, settings.max_upload)
    found = await explain_image(
        service,
        data,
        model=parameters.model,
        preprocess=parameters.preprocess,
        label=parameters.label,
        method=parameters.method,
    )
    if prefers_png(request):
        return vary_on_accept(png(base64.b64decode(found.fields["map"])))
    card = found.model.card
    capsule = prediction(card, found.label, found.length)
    return vary_on_accept(json({**model_fields(card), "capsule": capsule, **found.fields}))
