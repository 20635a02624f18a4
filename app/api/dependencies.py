"""Dependencies of the routes: the service, the settings, and a check for repeated parameters."""

from collections import Counter
from typing import Annotated

from fastapi import Depends, Request

from ..errors import InvalidParameter, NotReady, quote
from ..inference.service import InferenceService
from ..settings import Settings
from .schemas.requests import MAX_PERTURBATIONS, REPEATABLE
from .state import state_of

# No request needs more: pairs of `dim` and `delta`, and a few single ones.
MOST_PARAMETERS = 2 * MAX_PERTURBATIONS + 16


async def get_service(request: Request) -> InferenceService:
    """Return the service while it takes requests; raises NotReady."""
    state = state_of(request.app)
    if not state.is_open:
        raise NotReady("the service is starting or shutting down")
    return state.service


async def get_settings(request: Request) -> Settings:
    """Return the settings of this application."""
    return state_of(request.app).settings


OpenService = Annotated[InferenceService, Depends(get_service)]


AppSettings = Annotated[Settings, Depends(get_settings)]


async def reject_duplicate_params(request: Request) -> None:
    """Refuse a repeated parameter where only one value could count, and too many parameters."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if given.total() > MOST_PARAMETERS:
        raise InvalidParameter.of(
            "the query string", f"{given.total()} parameters long", f"at most {MOST_PARAMETERS} are read"
        )
    if twice := next((name for name in given if given[name] > 1 and name not in REPEATABLE), None):
        values = ", ".join(map(repr, request.query_params.getlist(twice)))
        raise InvalidParameter.of(f"query parameter {quote(twice)}", values, "may be given once")
