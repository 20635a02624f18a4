"""The application for any ASGI server: `uvicorn app.main:app`, `fastapi run app/main.py`, gunicorn."""

import sys

from .api.application import create_app
from .api.state import forget_former_changes
from .errors import StartupError
from .observability import logging_config
from .settings import Settings, warn_of_unknown_variables

try:
    settings = Settings.load()
    logging_config.configure(settings.log_format, settings.log_level)
    warn_of_unknown_variables()
    forget_former_changes()
    app = create_app(settings)
except StartupError as error:
    sys.exit(f"capsnet: {error}")
