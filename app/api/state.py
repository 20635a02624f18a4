"""Hold the state of one application from its start to its end."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.middleware.proxy_headers import _TrustedHosts as TrustedHosts

from ..inference.model_loading import Repository
from ..inference.service import InferenceService
from ..observability.access_log import AccessLog
from ..observability.metrics import FOLDER_VARIABLE, Metrics
from ..observability.request_recorder import RequestRecorder
from ..observability.tracing import Tracing, requesting_variable
from ..settings import Settings
from .authentication import ApiKeys, Authenticator
from .body_budget import BodyBudget
from .rate_limit import load_limiter

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..inference.shared_changes import SharedChanges

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
        Whether requests must carry a key.
    admin_keys
        Keys that may load and unload models.
    repository
        Loads and unloads models.
    trusted_hosts
        Proxies whose headers about the client are trusted; None for none.
    is_open
        Whether requests are answered: from the start to the end of the application.
    is_ready
        What the readiness probe answers: like `is_open`, but false a moment before the end.
    """

    settings: Settings
    metrics: Metrics
    access_log: AccessLog
    recorder: RequestRecorder
    tracing: Tracing | None
    service: InferenceService
    authenticator: Authenticator | None
    needs_key: bool
    admin_keys: ApiKeys
    repository: Repository
    trusted_hosts: TrustedHosts | None
    body_budget: BodyBudget
    is_open: bool = False
    is_ready: bool = False

    @classmethod
    def load(cls, settings: Settings) -> AppState:
        """Load keys and models, and build the parts that the settings ask for.

        Raises
        ------
        StartupError
            If a model is broken, the device cannot be had, or a key cannot be read.
        """
        keys = ApiKeys.load(settings)
        limiter = load_limiter(settings)
        admin_keys = ApiKeys.load_admin(settings)
        metrics = Metrics()
        access_log = AccessLog(settings.log_format, settings.log_level)
        tracing = Tracing(variable) if (variable := requesting_variable()) else None
        observers = [each for each in (metrics, tracing) if each]
        shared = shared_changes()
        changes = shared.read() if shared else None
        service = InferenceService.load(
            settings,
            lambda model, stage: [each.queue(model, stage) for each in observers],
            changes.unloaded if changes else (),
        )
        return cls(
            settings=settings,
            metrics=metrics,
            access_log=access_log,
            recorder=RequestRecorder(metrics, access_log),
            tracing=tracing,
            service=service,
            admin_keys=admin_keys,
            repository=Repository(service, settings.models, shared, changes.number if changes else 0),
            authenticator=Authenticator(keys, admin_keys, limiter) if keys or limiter else None,
            needs_key=bool(keys),
            trusted_hosts=TrustedHosts(list(settings.trusted_proxies)) if settings.trusted_proxies else None,
            body_budget=BodyBudget(LARGEST_BODIES * settings.max_upload),
        )


def shared_changes() -> SharedChanges | None:
    """Return the record of changed models that the workers of one service share; None for a single process."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or sys.platform == "win32":
        return None
    from ..inference.shared_changes import SharedChanges

    return SharedChanges(Path(folder))


def forget_former_changes() -> None:
    """Forget which models processes loaded or unloaded that live no more, in a folder that outlives a start."""
    if shared := shared_changes():
        shared.forget_the_dead()


def state_of(app: FastAPI) -> AppState:
    """Return the state of an application."""
    state: AppState = app.state.capsnet
    return state
