"""Probes: is the process alive, and does it take requests?"""

from fastapi import APIRouter, Response

from app.answers import LiveAnswer, ReadyAnswer
from app.routes.documentation import problems
from app.routes.replies import ReadyService, json

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", response_model=LiveAnswer)
async def live() -> Response:
    """Answer as long as the process runs."""
    return json({"status": "live"})


@router.get("/ready", response_model=ReadyAnswer, responses=problems(503))
async def ready(service: ReadyService) -> Response:
    """Answer 200 while requests are taken, and say what computes; 503 while starting or shutting down."""
    models = service.models
    names = [model.card.name for model in models]
    return json({"status": "ready", "provider": models.device.provider, "models": names})
