"""The monitoring profile: its files checked by their own tools, its queries asked of a real Prometheus."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.observability.metrics import REASONS
from tests.app.server_process import ROOT, Server, free_port, png, serving, wait_until
from tests.app.tiny_model import write_tiny_model
from training.data.datasets import DatasetPart

FOLDER = ROOT / "docker" / "monitoring"
ALERTS = FOLDER / "alerts.yml"
ALERT_TESTS = ROOT / "tests" / "docker" / "alerts.test.yml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
SHED = {"queue_full", "deadline", "rate_limit"}
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "capsnet.json").read_text())
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="needs Debian's package prometheus"
)


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    sources = yaml.safe_load((FOLDER / "grafana" / "datasource.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {
        source["uid"] for source in sources
    }
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert [target["refId"] for target in panel["targets"]] == sorted(
            {target["refId"] for target in panel["targets"]}
        )


def test_what_compose_mounts_is_there_and_is_where_it_is_looked_for() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = {
        target: source
        for name in ("prometheus", "grafana")
        for source, target, _ in (
            volume.split(":") for volume in compose["services"][name]["volumes"] if volume.endswith(":ro")
        )
    }
    assert all((ROOT / source).is_file() for source in mounts.values())
    (provider,) = yaml.safe_load((FOLDER / "grafana" / "dashboards.yml").read_text())["providers"]
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounts
    assert home.startswith(f"{provider['options']['path']}/")


@needs_prometheus
def test_prometheus_takes_its_configuration() -> None:
    command = ["promtool", "check", "config", str(FOLDER / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_dashboard_shows_shed_requests_apart_from_served_ones() -> None:
    queries = dict(QUERIES)
    assert 'status!~"429|503"' in queries["Served"]
    (reasons,) = re.findall(r'reason=~"([^"]*)"', queries["Shed"])
    assert set(reasons.split("|")) == SHED <= set(REASONS.values())
    assert f'reason!~"{reasons}"' in queries["Refused for another reason"]


def test_rates_and_times_of_requests_leave_out_all_probes_and_nothing_else(service: Server) -> None:
    """KServe's probes are answered fast and often; among few requests of clients they would hide slow ones."""
    alerts = {rule["alert"]: rule["expr"] for rule in RULES}
    del alerts["CapsnetNotReady"]  # looks at the probes themselves
    selectors = [
        (title, selector)
        for title, query in [*QUERIES, *alerts.items()]
        for selector in re.findall(r"capsnet_http_request(?:s_total|_duration_seconds_\w+)(\{.*?\}|)", query)
    ]
    assert len(selectors) >= 11
    filters = [(title, *re.findall(r'route!~"([^"]*)"', selector)) for title, selector in selectors]
    assert not [title for title, *found in filters if not found]
    (pattern,) = {found for _, found in filters}
    apart = ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics"]
    for path in (*apart, "/models", "/v2"):
        assert service.client.get(path).status_code == 200
    answered = set(re.findall(r'requests_total\{.*?route="([^"]*)"', service.client.get("/metrics").text))
    left_out = {route for route in answered if re.fullmatch(pattern, route)}
    assert left_out == set(apart)
    assert {"/models", "/v2"} <= answered - left_out


def test_alerts_and_dashboard_name_metrics_that_the_service_has(service: Server) -> None:
    known = set(re.findall(r"^# TYPE (\S+)", service.client.get("/metrics").text, re.MULTILINE))
    queries = [rule["expr"] for rule in RULES] + [query for _, query in QUERIES]
    named = {name for query in queries for name in re.findall(r"capsnet_\w+", query)}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= known


def test_every_alert_is_documented_and_has_a_unit_test() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    documented = (ROOT / "docs" / "operations.md").read_text()
    for rule in RULES:
        assert f"`{rule['alert']}`" in documented
    assert tested == {rule["alert"] for rule in RULES}


@needs_prometheus
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    for file in (ALERTS, ALERT_TESTS):
        shutil.copy(file, tmp_path)
    for command in (["check", "rules", ALERTS.name], ["test", "rules", ALERT_TESTS.name]):
        tried = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True)
        assert tried.returncode == 0, tried.stdout + tried.stderr


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("watched")
    write_tiny_model(folder / "models" / "mnist")
    with serving(folder / "log", models=folder / "models") as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus that asks the service twice a second, on a configuration that differs in the addresses alone."""
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{service.port}"]}]
    job["scrape_interval"] = job["scrape_timeout"] = "500ms"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(ALERTS, folder)
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            yield client
        finally:
            process.terminate()
            process.wait(timeout=30)


def ask(prometheus: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The series that a query gives now; raises where Prometheus does not understand it."""
    answer = prometheus.get("/api/v1/query", params={"query": query}).raise_for_status().json()
    assert answer["status"] == "success"
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def everything_asked(service: Server, image: bytes) -> None:
    """Requests that leave a mark in every panel: right ones, wrong ones, refused ones."""
    service.client.post("/classify", files={"file": image})
    service.client.post("/decode", json={"label": "7", "pose": [0.0] * 16})
    service.client.post("/classify?top_k=0", files={"file": image})
    service.client.get("/models/nothing")


@needs_prometheus
def test_every_query_of_the_dashboard_has_an_answer(
    service: Server, prometheus: httpx.Client, digits: DatasetPart
) -> None:
    image = png(digits.images[0, 0])
    give_up = time.monotonic() + 60
    missing = dict(QUERIES)
    while missing and time.monotonic() < give_up:
        everything_asked(service, image)
        time.sleep(0.5)
        try:
            missing = {title: query for title, query in QUERIES if not numbers(prometheus, query)}
        except httpx.TransportError:  # it is still starting
            continue
    assert not missing
    (up,) = ask(prometheus, 'up{job="capsnet"}')
    assert up["value"][1] == "1"
    requests = ask(prometheus, 'sum(capsnet_http_requests_total{route="/classify", status="200"})')
    assert float(requests[0]["value"][1]) >= 1

    def pending() -> list[str]:
        rules = prometheus.get("/api/v1/rules").raise_for_status().json()["data"]["groups"]
        return [rule["name"] for group in rules for rule in group["rules"] if rule["state"] != "inactive"]

    # Before the first scrape there is no series, which looks like a process that has ended.
    wait_until(lambda: not pending(), 30)


def numbers(prometheus: httpx.Client, query: str) -> list[float]:
    """What a panel would show, with the variables of Grafana filled in; series that are not a number left out."""
    plain = re.sub(r"\$__(rate_interval|range)", "10s", query)
    values = [float(series["value"][1]) for series in ask(prometheus, plain)]
    return [value for value in values if value == value]
