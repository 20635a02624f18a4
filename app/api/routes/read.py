"""Read the digits in an image, in reading order."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from capsnet.reading import answer_of

from ...inference.read import read_digits
from ...inference.results import Reading
from ..dependencies import AppSettings, OpenService
from ..openapi import PICTURE_BODY, PICTURE_PROBLEMS
from ..request_body import read_picture
from ..responses import base64_png, json, model_fields
from ..schemas.requests import ReadParameters
from ..schemas.responses import ReadAnswer

router = APIRouter(tags=["pictures"])


@router.post(
    "/read",
    response_model=ReadAnswer,
    response_description="The digits as text, and each with its bounds, class and pose.",
    responses=PICTURE_PROBLEMS,
    openapi_extra=PICTURE_BODY,
)
async def read(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ReadParameters, Query()],
) -> Response:
    """Read every digit in a picture, in reading order.

    Gives the digits as `text`, a newline between lines, and for each its bounds in the picture. Touching digits are cut
    where the model knows the pieces better than the whole; where it knows neither, `certain` is false. Something that
    is no digit has the label null and is `?` in the text. A blank picture gives an empty list.
    """
    data = await read_picture(request, settings.max_upload)
    found = await read_digits(
        service,
        data,
        model=parameters.model,
        reconstruct=parameters.reconstruct,
        most=settings.max_digits,
    )
    return json(_answer(found))


def _answer(found: Reading) -> dict[str, Any]:
    answer = answer_of(found.lines, found.model.card.classes, found.objects_found)
    for digit, (seen, drawn) in zip(answer["digits"], found.drawings, strict=bool(found.drawings)):
        digit |= {"input": base64_png(seen), "reconstruction": base64_png(drawn)}
    return {**model_fields(found.model), **answer}
