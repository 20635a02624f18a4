"""Probes: whether the process runs, and whether it takes requests."""

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response

from ...errors import NotReady
from ...inference.models import LoadedModel
from ...inference.service import InferenceService
from ..dependencies import OpenService
from ..openapi import problems
from ..responses import json
from ..schemas.responses import LiveAnswer, ReadyAnswer
from ..state import state_of

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", response_model=LiveAnswer)
async def live() -> Response:
    """Answer as long as the process runs."""
    return json({"status": "live"})


@router.get("/ready", response_model=ReadyAnswer, responses=problems(503))
async def ready(request: Request, service: OpenService) -> Response:
    """Answer 200 while requests are welcome, and say what computes.

    503 while the service starts or shuts down, and where a model has failed again and again and still does.
    """
    models = service.models
    await require_ready(request, service, models)
    names = [model.card.name for model in models]
    return json({"status": "ready", "provider": models.device.provider, "models": names})


async def require_ready(request: Request, service: InferenceService, models: Iterable[LoadedModel]) -> None:
    """Raise NotReady if the service shuts down or one of these models fails."""
    if not state_of(request.app).is_ready:
        raise NotReady("the service is shutting down")
    await service.check_health(models)
