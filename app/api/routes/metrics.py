"""What the service does, in numbers for Prometheus."""

import asyncio

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
    counted = state_of(request.app).metrics
    counted.count()
    # With several processes it reads their files, which is nothing for the event loop.
    content, content_type = await asyncio.to_thread(counted.render, accept)
    return Response(content, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
