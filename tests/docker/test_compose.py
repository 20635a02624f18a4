"""What docker-compose.yml promises, read off its text; `make smoke` runs it."""

import re
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


class Override(yaml.SafeLoader):
    """Reads Compose's own tag `!reset`, which takes away what the first file says."""


Override.add_constructor("!reset", lambda loader, node: "reset")
SCALED: dict[str, Any] = yaml.load((ROOT / "docker" / "compose.scale.yml").read_text(), Override)


def test_only_the_proxy_has_a_port_where_the_service_is_scaled() -> None:
    services = SCALED["services"]
    assert services["api"]["ports"] == "reset"
    assert services["proxy"]["ports"] == ["${CAPSNET_BIND:-127.0.0.1}:${CAPSNET_PORT:-8000}:8080"]
    assert services["proxy"]["environment"]["CAPSNET_PROXY_PORT"] == "8080"


def test_the_proxy_can_change_nothing_either() -> None:
    proxy = SCALED["services"]["proxy"]
    assert proxy["read_only"] is True
    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["user"] == "101:101"
    assert proxy["tmpfs"][0].startswith("/tmp:")


def test_the_proxy_is_trusted_and_no_other_address() -> None:
    (network,) = SCALED["networks"]["default"]["ipam"]["config"]
    assert SCALED["services"]["api"]["environment"]["CAPSNET_TRUSTED_PROXIES"] == network["subnet"]


def test_everything_that_the_proxy_is_told_is_asked_for_by_its_configuration() -> None:
    template = (ROOT / "docker" / "nginx.conf.template").read_text()
    given = {name for name in SCALED["services"]["proxy"]["environment"] if name.startswith("CAPSNET_")}
    assert set(re.findall(r"\$\{(\w+)\}", template)) == given


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker/compose.scale.yml"])
def test_images_that_others_build_are_pinned(file: str) -> None:
    services = yaml.load((ROOT / file).read_text(), Override)["services"]
    for name, service in services.items():
        image = service.get("image", "capsnet-service:cpu")
        assert image.startswith("capsnet-service:") or re.search(
            r":v?\d+\.\d+\.\d+(-\w+)?@sha256:[0-9a-f]{64}$", image
        ), name
        arguments = service.get("build", {}).get("args", {})
        assert arguments.get("PYTHON_IMAGE") is None, "the Dockerfile pins the base"


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_monitoring_is_reached_from_this_machine_alone(name: str) -> None:
    assert SERVICES[name]["profiles"] == ["monitoring"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
