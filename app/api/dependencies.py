"""What the routes depend on: the service, the settings, and parameters that are given once."""

from collections import Counter
from typing import Annotated

from fastapi import Depends, Request

from ..errors import InvalidParameter, NotReady, quote
from ..inference.service import InferenceService
from ..settings import Settings
from .schemas.requests import MAX_PERTURBATIONS, REPEATABLE

# More parameters than any request can need: pairs of `dim` and `delta`, and a few by themselves.
MOST_PARAMETERS = 2 * MAX_PERTURBATIONS + 16


async def get_service(request: Request) -> InferenceService:
    """The service, while it takes requests."""
    if not request.app.state.open:
        raise NotReady("the service is starting or shutting down")
    service: InferenceService = request.app.state.service
    return service


async def get_settings(request: Request) -> Settings:
    """The settings of this application."""
    settings: Settings = request.app.state.settings
    return settings


OpenService = Annotated[InferenceService, Depends(get_service)]


AppSettings = Annotated[Settings, Depends(get_settings)]


async def reject_duplicate_params(request: Request) -> None:
    """Refuse a parameter that is given twice where only one of the two could count, and a host of parameters."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if given.total() > MOST_PARAMETERS:
        raise InvalidParameter.of(
            "the query string", f"{given.total()} parameters long", f"at most {MOST_PARAMETERS} are read"
        )
    if twice := next((name for name in given if given[name] > 1 and name not in REPEATABLE), None):
        values = ", ".join(map(repr, request.query_params.getlist(twice)))
        raise InvalidParameter.of(f"query parameter {quote(twice)}", values, "may be given once")
