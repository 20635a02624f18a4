"""Read the digits in an image, in reading order."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from capsnet.answers import model_fields
from capsnet.reading import answer_of

from ...inference.read import read_digits
from ...inference.results import Reading
from ..dependencies import AppSettings, OpenService
from ..openapi import IMAGE_BODY, IMAGE_PROBLEMS
from ..request_body import read_image_file
from ..responses import base64_png, json
from ..schemas.requests import ReadParameters
from ..schemas.responses import ReadAnswer

router = APIRouter(tags=["images"])


@router.post(
    "/read",
    response_model=ReadAnswer,
    response_description="The digits as text, and each with its bounds, class and pose.",
    responses=IMAGE_PROBLEMS,
    openapi_extra=IMAGE_BODY,
)
async def read(
    request: Request,
    service: OpenService,
    settings: AppSettings,
    parameters: Annotated[ReadParameters, Query()],
) -> Response:
    """Read every digit in an image, in reading order.

    Gives the digits as `text`, a newline between lines, and for each its bounds in the image. Touching digits are cut
    where the model knows the pieces better than the whole; where it knows neither, `certain` is false. Something that
    is no digit has the label null and is `?` in the text. A blank image gives an empty list.
    """
    data = await read_image_file(request, settings.max_upload)
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
    return {**model_fields(found.model.card), **answer}
