"""Class mode: the address that the log and the page give to the devices of a class."""

import ipaddress
import json
import re
from pathlib import Path

import httpx
import pytest

from app.api import local_network
from app.api.local_network import local_url
from app.api.routes.classroom import qr_code
from app.settings import Settings
from tests.app.server_process import serving


@pytest.fixture
def on_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose default route begins at 192.168.1.20."""
    monkeypatch.setattr(local_network, "_route_to", lambda family, target: "192.168.1.20")


@pytest.mark.usefixtures("on_a_network")
@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"host": "0.0.0.0"}, "http://192.168.1.20:8000/"),
        ({"host": "::", "port": 80}, "http://192.168.1.20:80/"),
        ({"host": "10.1.2.3"}, "http://10.1.2.3:8000/"),
        ({"host": "fd00::5"}, "http://[fd00::5]:8000/"),
        ({"host": "school.example"}, "http://school.example:8000/"),
        ({"host": "127.0.0.1"}, None),
        ({"host": "::1"}, None),
        ({"host": "localhost"}, None),
        ({"public_url": "https://example.org/digits"}, "https://example.org/digits/"),
    ],
)
def test_the_address_is_one_that_others_can_open(settings: dict[str, str], address: str | None) -> None:
    assert local_url(Settings(**settings)) == address  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("route", "named", "address"),
    [
        ("", ["127.0.1.1", "fe80::1%eth0", "192.168.7.7"], "http://192.168.7.7:8000/"),
        ("127.0.0.1", ["not an address", "169.254.3.4"], None),
        ("", [], None),
    ],
)
def test_without_a_router_the_machines_name_has_the_address(
    monkeypatch: pytest.MonkeyPatch, route: str, named: list[str], address: str | None
) -> None:
    monkeypatch.setattr(local_network, "_route_to", lambda family, target: route)
    monkeypatch.setattr(local_network, "_named", lambda: named)
    assert local_url(Settings(host="0.0.0.0")) == address


def test_this_machine_has_an_address_or_none() -> None:
    address = local_url(Settings(host="0.0.0.0"))
    assert address is None or not ipaddress.ip_address(httpx.URL(address).host).is_loopback


def test_the_code_is_square_and_has_a_quiet_zone() -> None:
    code = qr_code("http://192.168.1.20:8000/#key=secret")
    sides = re.search(r'viewBox="0 0 (\d+) (\d+)"', code)
    assert sides is not None
    assert sides[1] == sides[2]
    assert re.findall(r"<(\w+)", code.partition("?>")[2]) == [
        "svg",
        "path",
        "path",
    ]  # nothing that a page would run
    assert 'd="M4 4.5h7' in code


def test_the_log_says_the_address_and_the_key_goes_with_the_code(tiny_models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = {
        "models": tiny_models,
        "host": "0.0.0.0",
        "log_format": "json",
        "public_url": "http://10.0.0.9:8000",
    }
    with serving(log, **settings, api_keys="pupils+1,other", admin_keys="master") as server:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert "http://10.0.0.9:8000/" in [line.get("address") for line in lines]
        assert server.client.get("/classroom").status_code == 401
        for key, fragment in (("pupils+1", "#key=pupils%2B1"), ("master", "")):
            reply = server.client.get("/classroom", headers={"Authorization": f"Bearer {key}"})
            assert reply.json() == {
                "url": f"http://10.0.0.9:8000/{fragment}",
                "qr": qr_code(f"http://10.0.0.9:8000/{fragment}"),
            }
            assert reply.headers["cache-control"] == "no-store"
    assert "pupils" not in log.read_text()


def test_a_service_for_this_machine_alone_has_no_code(client: httpx.Client) -> None:
    assert client.get("/classroom").json() == {"url": None, "qr": None}


@pytest.mark.parametrize("wrong", ["192.168.1.20", "http://a/#key", "http://a b", "javascript:x"])
def test_a_public_url_is_an_address(wrong: str) -> None:
    with pytest.raises(ValueError, match="should be an address"):
        Settings(public_url=wrong)
