"""The application for any ASGI server: `uvicorn app.main:app`, `fastapi run app/main.py`, gunicorn."""

from .api.application import create_app
from .observability import logging_config
from .settings import Settings

settings = Settings.load()
logging_config.configure(settings.log_format, settings.log_level)
app = create_app(settings)
