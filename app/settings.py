"""Read the settings: environment variables that begin with CAPSNET_, each described and bounded in one place."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import structlog
from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from capsnet.shipped_models import default_models

from .errors import SettingsError, did_you_mean

PREFIX = "CAPSNET_"

# Variables with this prefix that other parts of the project read.
READ_ELSEWHERE = {"CAPSNET_DATA", "CAPSNET_SERVER"}
# Set for the service by mistake, it leaves the service open.
KEY_OF_CLIENTS = "CAPSNET_API_KEY"

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
PrecisionChoice = Literal["auto", "fp32", "fp16", "int8"]
LogLevel = Literal["debug", "info", "warning", "error"]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _split(value: Any) -> Any:
    """Split a list as it is written in a variable, with commas between; raises ValueError."""
    if not isinstance(value, str):
        return value
    if not (parts := tuple(part for each in value.split(",") if (part := each.strip()))):
        raise ValueError("names nothing; leave it unset for none")
    return parts


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
URL = re.compile(rf"{ORIGIN.pattern}{ROOT_PATH.pattern.replace(')+', ')*')}/?")


def _origin(value: str) -> str:
    if not ORIGIN.fullmatch(value):
        raise ValueError(f"{value!r} is no origin: https://host or http://host:port, without a path")
    return value


def _path(value: str) -> str:
    if not ROOT_PATH.fullmatch(value):
        raise ValueError("should begin with a slash, such as /digits, and not end with one")
    return value


def _url(value: str) -> str:
    if not URL.fullmatch(value):
        raise ValueError(
            "should be an address such as http://192.168.1.20:8000 or https://example.org/digits"
        )
    return value


def _redis(value: SecretStr | None) -> SecretStr | None:
    if value and not value.get_secret_value().startswith(("redis://", "rediss://")):
        raise ValueError("should begin with redis:// or rediss://")
    return value


# Thousands may stand apart, as documents write them; pydantic itself would read 40 of `40,000,000`.
BYTES = re.compile(r"\d{1,3}(?:[,_]\d{3})+|(\d+(?:\.\d+)?)\s*[A-Za-z]*")


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not (found := BYTES.fullmatch(value.strip())):
        raise ValueError("should be a number of bytes, such as 20000000, 20MB or 8MiB")
    return value if found[1] else value.replace(",", "").replace("_", "")


Bytes = Annotated[ByteSize, BeforeValidator(_bytes)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]

# No message shows the values of these settings.
SECRET = {"admin_keys", "api_keys", "rate_limit_url"}

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
RATE = re.compile(rf"(\d{{1,9}})\s*/\s*({'|'.join(SECONDS)})", re.ASCII)


@dataclass(frozen=True)
class Rate:
    """A number of requests in a number of seconds."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Parse a rate such as `100/minute`; raises ValueError."""
        match = RATE.fullmatch(text.strip().lower())
        if not match or not int(match[1]):
            raise ValueError(f"should be a number and one of {', '.join(SECONDS)}, such as 100/minute")
        return cls(int(match[1]), SECONDS[match[2]])


def _rate(value: Any) -> Any:
    return Rate.parse(value) if isinstance(value, str) else value


def default_cache() -> Path:
    """Return `capsnet/tensorrt` in the user's cache folder, with `~` not yet expanded."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "capsnet" / "tensorrt"


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
        description="Where to compute: `auto`, `cpu`, `cuda` or `tensorrt`. "
        "`auto` takes a CUDA device if there is one, and says what it took; "
        "`tensorrt` needs NVIDIA's TensorRT libraries, which `.[gpu]` and the image do not bring.",
    )
    require_gpu: bool = Field(False, description="Refuse to start without a GPU.")
    cuda_graphs: bool = Field(
        False,
        description="Have CUDA record the work of each batch size once and replay it; one batch runs at a time then.",
    )
    tensorrt_cache: Path = Field(
        default_factory=default_cache,
        description="Folder in which TensorRT keeps the engines that it takes minutes to build.",
    )
    precision: Annotated[PrecisionChoice, BeforeValidator(_lower)] = Field(
        "auto",
        description="Precision of the encoder: `auto`, `fp32`, `fp16` or `int8`. "
        "`auto` takes the fastest variant for the device "
        "whose measured error is as good as that of fp32.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that share the port and the cores; on a GPU one is best.",
    )
    max_batch: int = Field(
        64,
        ge=1,
        le=4096,
        description="Most items in one batch; on a CPU the encoder takes it 16 images at a time.",
    )
    max_queue: int = Field(
        2048,
        ge=1,
        le=1_000_000,
        description="Most items that a process holds, waiting or in work; a request beyond it is answered 503.",
    )
    max_wait: float = Field(
        2.0,
        gt=0,
        le=3600,
        description="Seconds that a request may wait in line before its work begins; "
        "one that has waited so long is answered 503.",
    )
    request_timeout: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds after which a request that still waits is answered 503, "
        "and one whose body is still on its way 408.",
    )
    max_upload: Bytes = Field(
        ByteSize(20_000_000),
        ge=1024,
        le=2_000_000_000,
        description="Largest body of a request in bytes; units such as 20MB or 8MiB are understood.",
    )
    max_pixels: int = Field(
        50_000_000, ge=784, le=1_000_000_000, description="Most pixels that an image may declare."
    )
    decode_memory: Bytes = Field(
        ByteSize(512_000_000),
        ge=32_000_000,
        le=1_000_000_000_000,
        description="Most memory that all workers together take to decode images; "
        "an image that would take more is answered 413, one that finds none free 503.",
    )
    max_digits: int = Field(
        64, ge=1, le=1024, description="Most digits that are read in one image, in reading order."
    )
    api_keys: Secrets = Field(
        (), description="Keys that open the service, with commas between; none asks for none."
    )
    api_keys_file: Path | None = Field(
        None, description="File with such keys, one a line, such as a secret of Docker's or Kubernetes'."
    )
    admin_keys: Secrets = Field(
        (),
        description="Keys that may load and unload models, with commas between; "
        "without any, no client may. They open everything else as well.",
    )
    admin_keys_file: Path | None = Field(None, description="File with such keys, one a line.")
    rate_limit: Annotated[Rate | None, NoDecode, BeforeValidator(_rate)] = Field(
        None,
        description="Most requests of one key, or of one address where there is none, such as `100/minute`; "
        "over all workers of a machine.",
    )
    rate_limit_url: Annotated[SecretStr | None, AfterValidator(_redis)] = Field(
        None,
        description="Redis that counts for `CAPSNET_RATE_LIMIT` over several machines, "
        "such as `redis://:password@host:6379/0`.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of proxies whose `X-Forwarded-For` is believed, with commas between.",
    )
    cors_origins: Origins = Field(
        (),
        description="Origins whose pages may call the service, such as `https://example.org`, with commas between.",
    )
    public_url: Annotated[str, AfterValidator(_url)] | None = Field(
        None,
        description="Address under which other devices find the playground, such as `http://192.168.1.20:8000`, "
        "for its QR code; by default that of this machine in its network.",
    )
    root_path: Annotated[str, AfterValidator(_path)] | None = Field(
        None,
        description="Path before that of every route, such as `/digits`, whether a proxy takes it off or not; "
        "it stands in the OpenAPI document.",
    )
    fast_path: bool = Field(
        True,
        description="Read plain requests from their bytes; with `0` uvicorn's parser reads all of them.",
    )
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = Field(
        "console", description="`console` for people, `json` for machines."
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        "info",
        description="The least that is logged: `debug`, `info`, `warning` or `error`. "
        "From `warning` on there is no line for each request.",
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises
        ------
        SettingsError
            If a variable has a value that is not allowed; one line names variable, value and allowed values.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(map(_sentence, error.errors()))) from None


def _sentence(error: Any) -> str:
    """Return a pydantic error such as "CAPSNET_PORT is '99999': input should be less than 65536 (1 to 65535)"."""
    field = str(error["loc"][0])
    rule = error["msg"].removeprefix("Value error, ")
    value = "" if field in SECRET else f" is {error['input']!r}"
    return f"{PREFIX}{field.upper()}{value}: {rule[:1].lower()}{rule[1:]}{_bounds(field)}"


def _bounds(field: str) -> str:
    """Return the numeric bounds of a field as " (1 to 65535)", or an empty text."""
    limits: dict[str, Any] = {}
    for item in Settings.model_fields[field].metadata:
        limits |= {name: getattr(item, name) for name in ("ge", "gt", "le") if hasattr(item, name)}
    low = f"more than {limits['gt']}" if "gt" in limits else limits.get("ge")
    return f" ({low} to {limits['le']})" if "le" in limits else ""


def warn_of_unknown_variables() -> None:
    """Log a warning for each CAPSNET_ variable that nothing reads: most likely a typing error."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | READ_ELSEWHERE
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            reason = (
                "is the key that a client sends; the service takes its keys from CAPSNET_API_KEYS"
                if name.upper() == KEY_OF_CLIENTS
                else f"is no setting of this service{did_you_mean(name.upper(), known)}"
            )
            structlog.get_logger(__name__).warning(f"{name} {reason}")
