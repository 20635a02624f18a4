"""What docker-compose.yml promises, read off its text; `make smoke` runs it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

# Settings that belong to the inside of the image: where it listens and where its models lie.
OF_THE_IMAGE = {"CAPSNET_HOST", "CAPSNET_PORT", "CAPSNET_MODELS"}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


def test_a_plain_up_starts_the_service_on_a_cpu_alone() -> None:
    assert [name for name, service in SERVICES.items() if not service.get("profiles")] == ["api"]
    assert {"gpu", "train"} <= {
        profile for service in SERVICES.values() for profile in service.get("profiles", [])
    }


def test_containers_can_change_nothing_but_what_is_mounted(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert service["tmpfs"][0].startswith("/tmp:size=")
    assert "privileged" not in service


@pytest.mark.parametrize("name", ["api", "gpu"])
def test_serving_is_bound_to_loopback_unless_told_otherwise(name: str) -> None:
    assert SERVICES[name]["ports"] == ["${CAPSNET_BIND:-127.0.0.1}:${CAPSNET_PORT:-8000}:8000"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["api", "gpu"])
def test_every_setting_of_the_service_can_be_given_from_outside(name: str) -> None:
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    assert SERVICES[name]["environment"].keys() == settings - OF_THE_IMAGE


def test_the_gpu_service_refuses_to_run_on_a_cpu() -> None:
    assert SERVICES["gpu"]["environment"]["CAPSNET_REQUIRE_GPU"] == "1"
    (device,) = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
