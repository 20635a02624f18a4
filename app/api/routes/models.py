"""Give the cards of the models in service."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from ...inference.models import LoadedModel
from ..compression import compress
from ..dependencies import OpenService
from ..openapi import problems
from ..responses import json
from ..schemas.requests import NoParameters
from ..schemas.responses import Card, ModelsAnswer

router = APIRouter(tags=["models"])


@router.get("/models", response_model=ModelsAnswer, responses=problems(422, 500, 503))
async def list_models(
    request: Request, service: OpenService, parameters: Annotated[NoParameters, Query()]
) -> Response:
    """Give the cards of all models, and which one is the default."""
    answer = json({"default": service.models.default, "models": list(map(_card, service.models))})
    return compress(request, answer)


@router.get("/models/{name}", response_model=Card, responses=problems(404, 422, 500, 503))
async def show_model(
    request: Request,
    service: OpenService,
    name: Annotated[str, Path(description="Name of the model.", examples=["mnist"])],
    parameters: Annotated[NoParameters, Query()],
) -> Response:
    """Give one model's card: architecture, classes, input, measured error, and how it is served."""
    return compress(request, json(_card(service.models.get(name))))


@router.get("/models/{name}/samples.png", include_in_schema=False)
async def show_samples(
    service: OpenService, name: str, parameters: Annotated[NoParameters, Query()]
) -> Response:
    """Give the strip of images beside a model's card, for the playground."""
    strip = service.models.get(name).samples
    if strip is None:
        raise HTTPException(404)
    return Response(strip, media_type="image/png")


def _card(model: LoadedModel) -> dict[str, Any]:
    serving = {
        "precision": model.precision,
        "precision_reason": model.precision_reason,
        "provider": model.provider,
    }
    return {**dataclasses.asdict(model.card), "serving": serving}
