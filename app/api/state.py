"""What one application holds from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uvicorn.middleware.proxy_headers import _TrustedHosts as TrustedHosts

from ..inference.service import InferenceService
from ..observability.access_log import AccessLog
from ..observability.metrics import Metrics
from ..observability.request_recorder import RequestRecorder
from ..observability.tracing import Tracing, asked_for
from ..settings import Settings
from .authentication import ApiKeys, Authenticator
from .body_budget import BodyBudget

if TYPE_CHECKING:
    from fastapi import FastAPI

# Bodies of the largest size that are in memory together; of smaller ones as many as fill the same space.
LARGEST_BODIES = 10


@dataclass(slots=True, kw_only=True)
class AppState:
    """The parts that routes, middleware and the server share.

    Attributes
    ----------
    recorder
        Writes each request into `metrics` and `access_log`.
    tracing
        None where no collector is named.
    authenticator
        None where every client may use the service without a bound.
    needs_key
        Whether requests must show a key.
    trusted_hosts
        Proxies whose word on the client is taken; None for none.
    is_open
        Whether requests are answered: from the start to the end of the application.
    is_ready
        What the readiness probe says: like `is_open`, but false a moment before the end.
    """

    settings: Settings
    metrics: Metrics
    access_log: AccessLog
    recorder: RequestRecorder
    tracing: Tracing | None
    service: InferenceService
    authenticator: Authenticator | None
    needs_key: bool
    trusted_hosts: TrustedHosts | None
    body_budget: BodyBudget
    is_open: bool = False
    is_ready: bool = False

    @classmethod
    def load(cls, settings: Settings) -> AppState:
        """Load keys and models, and make the rest of what the settings ask for.

        Raises
        ------
        StartupError
            If a model is broken, the device cannot be had, or a key cannot be read.
        """
        keys = ApiKeys.load(settings)
        metrics = Metrics()
        access_log = AccessLog(settings.log_format, settings.log_level)
        tracing = Tracing(variable) if (variable := asked_for()) else None
        watching = [each for each in (metrics, tracing) if each]
        return cls(
            settings=settings,
            metrics=metrics,
            access_log=access_log,
            recorder=RequestRecorder(metrics, access_log),
            tracing=tracing,
            service=InferenceService.load(
                settings, lambda model, stage: [each.queue(model, stage) for each in watching]
            ),
            authenticator=Authenticator(keys, settings.rate_limit) if keys or settings.rate_limit else None,
            needs_key=bool(keys),
            trusted_hosts=TrustedHosts(list(settings.trusted_proxies)) if settings.trusted_proxies else None,
            body_budget=BodyBudget(LARGEST_BODIES * settings.max_upload),
        )


def state_of(app: FastAPI) -> AppState:
    """Return what an application holds."""
    state: AppState = app.state.capsnet
    return state
