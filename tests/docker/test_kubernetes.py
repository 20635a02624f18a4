"""The Helm chart and the KServe manifest: read by Helm, held to Kubernetes' schemas, and tried on the real process.

`make test-kubernetes` brings Helm and the schemas; without them, most tests here are skipped.
"""

import copy
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import capsnet
from app.settings import PREFIX, READ_ELSEWHERE, Settings
from tests.app.server_process import ROOT, Server, free_port, serving
from tests.app.tiny_model import write_tiny_model

CHART = ROOT / "docker" / "helm" / "capsnet"
KSERVE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "kserve" / "capsnet.yaml").read_text())

# The oldest version that the chart takes, one that is old but supported, and the newest whose schemas are to be had.
VERSIONS = ("1.27", "1.33", "1.37")
OWN_RESOURCES = {
    "ServiceMonitor",
    "PrometheusRule",
}  # of the Prometheus Operator, which Kubernetes has no schemas for

EVERYTHING: dict[str, Any] = {
    "image": {"digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"CAPSNET_LOG_FORMAT": "json", "CAPSNET_WORKERS": "2", "CAPSNET_MAX_WAIT": "1.5"},
    "keys": {"values": ["a-key", "another"]},
    "adminKeys": {"values": ["a-master"]},
    "rateLimit": {"rate": "100/minute", "urlSecret": {"name": "redis"}},
    "models": {"volume": {"persistentVolumeClaim": {"claimName": "models"}}, "subPath": "now"},
    "service": {"annotations": {"a": "b"}},
    "autoscaling": {"enabled": True, "cpuPercent": 80},
    "networkPolicy": {"from": [{"namespaceSelector": {}}], "egress": [{"ports": [{"port": 6379}]}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "vision"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}


def render(values: dict[str, Any], name: str = "demo") -> list[dict[str, Any]]:
    """The chart's manifests as Helm renders them."""
    return copy.deepcopy(_render(json.dumps(values), name))


@functools.cache
def _render(values: str, name: str) -> list[dict[str, Any]]:
    helm = pytest.importorskip("helm_python")
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(json.loads(values), name=name, namespace="prod")
    texts = (text for path, text in files.items() if not path.endswith(".txt"))
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def by_kind(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    kinds = {manifest["kind"]: manifest for manifest in manifests}
    assert len(manifests) == len({(each["kind"], each["metadata"]["name"]) for each in manifests})
    return kinds


def pod_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The pod that a Deployment or an InferenceService describes."""
    pod: dict[str, Any] = (
        manifest["spec"]["predictor"]
        if "predictor" in manifest["spec"]
        else manifest["spec"]["template"]["spec"]
    )
    return pod


def test_the_chart_has_the_version_of_the_code() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == capsnet.__version__
    assert pod_of(KSERVE)["containers"][0]["image"] == f"capsnet-service:{capsnet.__version__}"


@functools.cache
def release() -> dict[str, Any]:
    """The jobs of the workflow that publishes a release."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    jobs: dict[str, Any] = workflow["jobs"]
    return jobs


def published_tags(image: str) -> set[str]:
    """The tags that docker/metadata-action makes of the workflow's rules for an image (`cpu`, `gpu` or `train`)."""
    (given,) = (step["with"] for step in release()["images"]["steps"] if step.get("id") == "meta")
    flavor: dict[str, str] = dict(line.split("=") for line in given["flavor"].splitlines())
    patterns = {
        "{{version}}": capsnet.__version__,
        "{{major}}.{{minor}}": capsnet.__version__.rpartition(".")[0],
    }
    tags = set()
    for line in given["tags"].splitlines():
        rule: dict[str, str] = dict(part.split("=", 1) for part in line.split(","))
        only = re.fullmatch(r"\${{ matrix.name == '(\w+)' }}", rule.get("enable", ""))
        if only is None or only[1] == image:
            tags.add(patterns[rule["pattern"]] + rule.get("suffix", flavor["suffix"]))
    return {tag.replace("${{ matrix.name }}", image) for tag in tags}


def test_the_chart_of_a_release_names_an_image_of_that_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workflow's own step, with a `helm` that does nothing, in a copy of the chart."""
    copy = tmp_path / "docker" / "helm" / "capsnet"
    shutil.copytree(CHART, copy)
    (tmp_path / "helm").write_text("#!/bin/sh\n")
    (tmp_path / "helm").chmod(0o755)
    script = re.sub(r"\${{.*?}}", "x", release()["chart"]["steps"][-1]["run"])
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("REGISTRY", "ghcr.io")
    monkeypatch.setenv("GITHUB_REPOSITORY", "Owner/Capsnet-Service")
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, check=True)
    image = yaml.safe_load((copy / "values.yaml").read_text())["image"]
    assert image["repository"] == "ghcr.io/owner/capsnet-service"  # as docker/metadata-action writes it
    tag = image["tag"] or yaml.safe_load((copy / "Chart.yaml").read_text())["appVersion"]
    assert tag in published_tags("cpu")
    assert not published_tags("cpu") & (published_tags("gpu") | published_tags("train"))


def test_images_that_no_registry_has_are_named_in_the_documented_commands() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    built = re.findall(r"docker push (\S+):(\S+)", text)
    assert built == [("registry.example.org/capsnet-service", capsnet.__version__)]
    assert f"image.repository={built[0][0]}\n" in text
    (command,) = re.findall(r"^(sed .*kserve.*) \| kubectl apply -f -$", text, re.MULTILINE)
    manifest = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert pod_of(yaml.safe_load(manifest))["containers"][0]["image"] == ":".join(built[0])
    assert command in (ROOT / "docker" / "kserve" / "capsnet.yaml").read_text()


def test_the_chart_holds_the_alerts_of_the_monitoring_profile() -> None:
    alerts = (ROOT / "docker" / "monitoring" / "alerts.yml").read_text()
    assert (CHART / "files" / "alerts.yml").read_text() == alerts, "copy docker/monitoring/alerts.yml"


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_helm_finds_nothing_to_complain_of(values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python")
    found = helm.lint(str(CHART), values, strict=True)
    assert not found["errors"]
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_manifests_follow_the_schemas_of_kubernetes(values: dict[str, Any], version: str) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    manifests = [each for each in render(values) if each["kind"] not in OWN_RESOURCES]
    assert len(manifests) >= 5
    for manifest in manifests:
        kubernetes.validate(manifest, version, strict=True)


def test_the_pod_of_the_kserve_manifest_follows_the_schema_of_a_pod() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    of_kserve = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    spec = {name: value for name, value in pod_of(KSERVE).items() if name not in of_kserve}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "capsnet"}, "spec": spec}
    kubernetes.validate(pod, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": -1},
        {"setings": {}},
        {"settings": {"CAPSNET_PORT": "80"}},
        {"settings": {"CAPSNET_API_KEYS": "a"}},
        {"settings": {"CAPSNET_WORKERS": 2}},
        {"rateLimit": {"rate": "often"}},
        {"keys": {"values": ["with space"]}},
        {"image": {"digest": "latest"}},
        {"serviceMonitor": {"interval": "90s"}},
        {"serviceMonitor": {"interval": "2m"}},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python")
    with pytest.raises(helm.HelmError):
        render(values)


def manifests_with_pods() -> list[dict[str, Any]]:
    return [by_kind(render(EVERYTHING))["Deployment"], KSERVE]


def test_pods_meet_the_restricted_standard_of_pod_security() -> None:
    for pod in map(pod_of, manifests_with_pods()):
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            context = pod.get("securityContext", {}) | container["securityContext"]
            assert context["runAsNonRoot"] is True
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]


def test_the_user_is_that_of_the_image() -> None:
    user = next(
        line.split()[1]
        for line in (ROOT / "docker" / "serve.Dockerfile").read_text().splitlines()
        if line.startswith("USER")
    )
    for pod in map(pod_of, manifests_with_pods()):
        context = pod.get("securityContext", {}) | pod["containers"][0]["securityContext"]
        # Knative refuses a group, and the image has one.
        assert f"{context['runAsUser']}:{context.get('runAsGroup', 10001)}" == user


def test_knative_is_told_nothing_that_it_refuses_of_a_pod() -> None:
    assert "securityContext" not in KSERVE["spec"]["predictor"]


@pytest.mark.parametrize(
    ("queue", "percent", "metrics"),
    [(32, 0, ["Pods"]), (0, 80, ["Resource"]), (32, 80, ["Pods", "Resource"])],
)
def test_the_autoscaler_asks_for_the_metrics_that_are_wanted_alone(
    queue: int, percent: int, metrics: list[str]
) -> None:
    scaling = {"enabled": True, "queueItems": queue, "cpuPercent": percent}
    made = by_kind(render({"autoscaling": scaling}))["HorizontalPodAutoscaler"]
    assert [each["type"] for each in made["spec"]["metrics"]] == metrics


def test_an_autoscaler_without_a_metric_is_refused() -> None:
    helm = pytest.importorskip("helm_python")
    with pytest.raises(helm.HelmError, match="queueItems or cpuPercent"):
        render({"autoscaling": {"enabled": True, "queueItems": 0, "cpuPercent": 0}})


def test_names_of_digits_stay_text() -> None:
    values = EVERYTHING | {"priorityClassName": "100"}
    values["models"] = EVERYTHING["models"] | {"subPath": "2024"}
    pod = pod_of(by_kind(render(values))["Deployment"])
    assert pod["priorityClassName"] == "100"
    mounts = [each for container in pod["containers"] for each in container["volumeMounts"]]
    assert "2024" in [each.get("subPath") for each in mounts]


def test_everything_points_at_the_same_pods() -> None:
    kinds = by_kind(render(EVERYTHING))
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        kinds["Deployment"]["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    monitored = kinds["ServiceMonitor"]["spec"]
    assert monitored["selector"]["matchLabels"].items() <= kinds["Service"]["metadata"]["labels"].items()
    (port,) = kinds["Service"]["spec"]["ports"]
    (endpoint,) = monitored["endpoints"]
    (opened,) = kinds["NetworkPolicy"]["spec"]["ingress"]
    (container,) = pod_of(kinds["Deployment"])["containers"]
    assert endpoint["port"] == port["name"]
    assert port["targetPort"] == opened["ports"][0]["port"] == container["ports"][0]["name"]
    scaled = kinds["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]
    assert "replicas" not in kinds["Deployment"]["spec"]
    assert {volume["name"] for volume in pod_of(kinds["Deployment"])["volumes"]} == {
        mount["name"] for mount in container["volumeMounts"]
    }


def test_keys_stay_in_secrets() -> None:
    manifests = render({"keys": {"values": ["a-key"]}, "adminKeys": {"values": ["a-master"]}})
    with_keys = [each for each in manifests if "a-key" in json.dumps(each) or "a-master" in json.dumps(each)]
    assert {each["kind"] for each in with_keys} == {"Secret"}
    assert len(with_keys) == 2
    assert {"Secret"}.isdisjoint(by_kind(render({"keys": {"existing": "mine"}})))


def test_the_rules_are_taken_by_prometheus(tmp_path: Path) -> None:
    rules = by_kind(render(EVERYTHING))["PrometheusRule"]["spec"]
    if not shutil.which("promtool"):
        pytest.skip("needs Debian's package prometheus")
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(ROOT / "tests" / "docker" / "alerts.test.yml", tmp_path)
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        tried = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True)
        assert tried.returncode == 0, tried.stdout + tried.stderr


def environment_of(manifest: dict[str, Any], folder: Path) -> dict[str, str]:
    """The variables of the container, with what lies in volumes and Secrets put into `folder`."""
    write_tiny_model(folder / "models" / "mnist")
    (folder / "keys").write_text("a-key\nanother")
    places = {"CAPSNET_HOST": "127.0.0.1", "CAPSNET_PORT": str(free_port())}
    files = {"MODELS": folder / "models", "KEYS_FILE": folder / "keys"}
    (container,) = pod_of(manifest)["containers"]
    given: dict[str, str] = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert places.keys() <= given.keys()
    assert int(given["CAPSNET_PORT"]) == container["ports"][0]["containerPort"]
    for name, (ending, file) in itertools.product(given, files.items()):
        if name.endswith(ending):
            places[name] = str(file)
    return {"CAPSNET_MODELS": str(files["MODELS"])} | given | places


def start(manifest: dict[str, Any], folder: Path) -> Any:
    """`python -m app` with the settings of the manifest."""
    variables = environment_of(manifest, folder)
    unknown = {name for name in variables if name.startswith(PREFIX)} - READ_ELSEWHERE
    assert unknown <= {PREFIX + field.upper() for field in Settings.model_fields}
    settings = {name.removeprefix(PREFIX).lower(): value for name, value in variables.items()}
    return serving(folder / "log", **settings)


def probe(server: Server, pod: dict[str, Any], name: str) -> int:
    (container,) = pod["containers"]
    request = container[name]["httpGet"]
    assert request["port"] in (container["ports"][0].get("name"), container["ports"][0]["containerPort"])
    return server.client.get(request["path"]).status_code


@pytest.mark.parametrize("which", ["chart", "chart with everything", "kserve"])
def test_the_real_process_takes_the_settings_and_answers_the_probes(which: str, tmp_path: Path) -> None:
    values = EVERYTHING if which == "chart with everything" else {}
    manifest = KSERVE if which == "kserve" else by_kind(render(values))["Deployment"]
    pod = pod_of(manifest)
    with start(manifest, tmp_path) as server:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert probe(server, pod, name) == 200
        monitors = [each for each in render(EVERYTHING) if each["kind"] == "ServiceMonitor"] if values else []
        for monitor in monitors:
            (endpoint,) = monitor["spec"]["endpoints"]
            assert "capsnet_queue_items" in server.client.get(endpoint["path"]).text
            assert server.client.get("/models").status_code == 401
            assert server.client.get("/models", headers={"x-api-key": "another"}).status_code == 200
        assert "is no setting" not in server.log.read_text()


def test_a_pod_has_the_time_to_end_by_itself() -> None:
    from app.server.server import HARD_EXIT_S

    for seconds in (0, 30):
        pod = pod_of(by_kind(render({"drainSeconds": seconds}))["Deployment"])
        assert pod["terminationGracePeriodSeconds"] >= seconds + HARD_EXIT_S + 5
        assert ("lifecycle" in pod["containers"][0]) == bool(seconds)


def test_the_variables_that_kubernetes_adds_for_a_service_do_no_harm() -> None:
    # Kubernetes sets CAPSNET_PORT for a Service called capsnet; the pods ask for none of these.
    for pod in map(pod_of, manifests_with_pods()):
        assert pod["enableServiceLinks"] is False
