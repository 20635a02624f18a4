"""Give the metrics of the service to Prometheus."""

from fastapi import APIRouter, Request, Response

from ..state import state_of

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    response_description="Numbers in Prometheus' text format, or as OpenMetrics where the client accepts that.",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Give the numbers that Prometheus reads, over all processes of the service.

    Never needs a key. What each means stands in docs/operations.md.
    """
    accept = request.headers.get("accept", "")
    content, content_type = await state_of(request.app).metrics.render(accept)
    return Response(content, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
