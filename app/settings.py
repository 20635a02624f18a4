"""Settings: environment variables that begin with CAPSNET_, each described and bounded in one place."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import structlog
from pydantic import BeforeValidator, ByteSize, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingError, did_you_mean

PREFIX = "CAPSNET_"

# Variables with this prefix that other parts of the project read.
READ_ELSEWHERE = {"CAPSNET_DATA", "CAPSNET_SERVER"}

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
PrecisionChoice = Literal["auto", "fp32", "fp16", "int8"]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def default_models() -> Path:
    """The `artifacts` folder beside the package, as in a clone, or else in the working folder."""
    beside = Path(__file__).resolve().parent.parent / "artifacts"
    return beside if beside.is_dir() else Path("artifacts")


class Settings(BaseSettings):
    """All settings. `Settings.load()` reads them from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every interface.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    models: Path = Field(
        default_factory=default_models,
        description="Folder with one folder a model, or the folder of a single model.",
    )
    default_model: str = Field(
        "mnist",
        min_length=1,
        description="Model that answers where a request names none. "
        "Left unset in a folder without `mnist`, the first model by name.",
    )
    device: Annotated[Device, BeforeValidator(_lower)] = Field(
        "auto",
        description="Where to compute. `auto` takes a CUDA device if there is one, and says what it took.",
    )
    require_gpu: bool = Field(False, description="Refuse to start without a GPU.")
    precision: Annotated[PrecisionChoice, BeforeValidator(_lower)] = Field(
        "auto",
        description="Precision of the encoder. `auto` takes the fastest variant for the device "
        "whose measured error is as good as that of fp32.",
    )
    max_batch: int = Field(64, ge=1, le=4096, description="Most items in one run of a graph.")
    max_queue: int = Field(
        2048, ge=1, le=1_000_000, description="Most items that wait; a request beyond it is answered 503."
    )
    request_timeout: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds after which a request that still waits is answered 503, "
        "and one whose body is still on its way 408.",
    )
    max_upload: ByteSize = Field(
        ByteSize(20_000_000),
        ge=1024,
        le=2_000_000_000,
        description="Largest body of a request in bytes; units such as 20MB or 8MiB are understood.",
    )
    max_pixels: int = Field(
        50_000_000, ge=784, le=1_000_000_000, description="Most pixels that a picture may declare."
    )
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = Field(
        "console", description="`console` for people, `json` for machines."
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises
        ------
        SettingError
            If a variable holds what is not allowed; one line names variable, value and what is allowed.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingError("; ".join(map(_sentence, error.errors()))) from None


def _sentence(error: Any) -> str:
    """One pydantic error as "CAPSNET_PORT is '99999': input should be less than or equal to 65535 (1 to 65535)"."""
    field = str(error["loc"][0])
    rule = error["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{field.upper()} is {error['input']!r}: {rule[:1].lower()}{rule[1:]}{_bounds(field)}"


def _bounds(field: str) -> str:
    """The numeric bounds of a field as " (1 to 65535)", or nothing."""
    limits: dict[str, Any] = {}
    for item in Settings.model_fields[field].metadata:
        limits |= {name: getattr(item, name) for name in ("ge", "gt", "le") if hasattr(item, name)}
    low = f"more than {limits['gt']}" if "gt" in limits else limits.get("ge")
    return f" ({low} to {limits['le']})" if "le" in limits else ""


def warn_of_unknown_variables() -> None:
    """Log a warning for each CAPSNET_ variable that nothing reads: most likely a slip of the pen."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | READ_ELSEWHERE
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            structlog.get_logger("app.settings").warning(
                f"{name} is no setting of this service{did_you_mean(name.upper(), known)}"
            )
