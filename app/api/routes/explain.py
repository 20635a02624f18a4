"""Where in the picture is the evidence for a class?"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from ...inference.explain import Explanation, explain_image
from ..dependencies import AppSettings, OpenService
from ..openapi import PICTURE_BODY, PICTURE_PROBLEMS, PNG_ANSWER
from ..request_body import read_picture
from ..responses import base64_png, json, model_fields, png, prediction, prefers_png, vary_on_accept
from ..schemas.explain import ExplainAnswer, ExplainParameters

router = APIRouter(tags=["pictures"])


@router.post(
    "/explain",
    response_model=ExplainAnswer,
    response_description="Falls and heat as JSON, or the heat map over the picture with `Accept: image/png`.",
    responses={200: {"content": PNG_ANSWER}, **PICTURE_PROBLEMS},
    openapi_extra=PICTURE_BODY,
)
async def explain(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ExplainParameters, Query()],
) -> Response:
    """Cover the picture patch by patch, and say where the longest capsule, or that of another class, shortens.

    The method is occlusion, in one batch. It asks the network from outside, so it works for every architecture, and it
    does not show how capsules were routed. With `Accept: image/png` the answer is the heat map over the picture.
    """
    data = await read_picture(request, settings.max_upload)
    found = await explain_image(
        service, data, model=parameters.model, preprocess=parameters.preprocess, label=parameters.label
    )
    return vary_on_accept(png(found.map) if prefers_png(request) else json(_answer(found)))


def _answer(found: Explanation) -> dict[str, Any]:
    return {
        **model_fields(found.model),
        "method": "occlusion",
        "capsule": prediction(found.model, found.label, found.length),
        "patch": found.patch,
        "stride": found.stride,
        "falls": found.falls,
        "heat": found.heat,
        "input": base64_png(found.input),
        "map": base64_png(found.map),
    }
