"""Settings: defaults, units, bounds, and the message where a variable is wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import SettingsError
from app.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CAPSNET_{name.upper()}", raising=False)


def test_the_defaults_are_those_of_the_design() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.default_model == "mnist"
    assert (settings.device, settings.precision, settings.require_gpu) == ("auto", "auto", False)
    assert (settings.max_upload, settings.max_pixels) == (20_000_000, 50_000_000)
    assert settings.models == Path(__file__).resolve().parents[2] / "artifacts"


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("MAX_UPLOAD", "8MiB", 8 * 1024 * 1024),
        ("MAX_UPLOAD", "20 MB", 20_000_000),
        ("DEVICE", "CPU", "cpu"),
        ("LOG_FORMAT", "JSON", "json"),
        ("REQUIRE_GPU", "1", True),
        ("PORT", "", 8000),  # an empty variable, as Compose passes it, is none
    ],
)
def test_values_are_read_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: object
) -> None:
    monkeypatch.setenv(f"CAPSNET_{name}", value)
    assert getattr(Settings.load(), name.lower()) == read


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "0", "greater than or equal to 1 (1 to 65535)"),
        ("PORT", "http", "(1 to 65535)"),
        ("DEVICE", "gpu", "'auto', 'cpu', 'cuda' or 'tensorrt'"),
        ("PRECISION", "bf16", "'auto', 'fp32', 'fp16' or 'int8'"),
        ("MAX_UPLOAD", "12 bananas", "bananas"),
        ("MAX_BATCH", "0", "(1 to 4096)"),
        ("REQUEST_TIMEOUT", "0", "(more than 0 to 3600)"),
        ("REQUEST_TIMEOUT", "nan", "(more than 0 to 3600)"),
        ("REQUIRE_GPU", "maybe", "boolean"),
        ("ROOT_PATH", "digits/", "should begin with a slash, such as /digits"),
        ("DECODE_MEMORY", "1MB", "(32000000 to 1000000000000)"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(f"CAPSNET_{name}", value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert str(refused.value).startswith(f"CAPSNET_{name} is {value!r}: ")
    assert allowed in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_a_user_without_a_home_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container's numeric user; only TensorRT, where it is asked for, has a use for the folder."""

    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert Settings.load().tensorrt_cache.parts[-2:] == ("capsnet", "tensorrt")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("40,000,000", 40_000_000),
        ("40_000_000", 40_000_000),
        ("20MB", 20_000_000),
        (" 8 MiB ", 8 * 2**20),
        ("2048", 2048),
        ("1.5MB", 1_500_000),
    ],
)
def test_a_size_is_read_as_it_is_written(given: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSNET_MAX_UPLOAD", given)
    assert Settings().max_upload == size


@pytest.mark.parametrize(
    "given", ["2048,000,000", "5000.000.000", "32000000,5", "20 MB extra", "MB", "-1", "0x10"]
)
def test_a_size_that_is_none_is_not_read_by_its_beginning(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSNET_MAX_UPLOAD", given)
    with pytest.raises(ValidationError, match="should be a number of bytes, such as 20000000, 20MB or 8MiB"):
        Settings()
