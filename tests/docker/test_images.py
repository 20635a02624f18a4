"""What the Dockerfiles promise, read off their text; `make smoke` builds and runs them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import grimp
import pytest
import yaml

import capsnet

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of each line, continued lines joined and comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]  # type: ignore[misc]


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_a_serving_and_a_training_image() -> None:
    assert [path.name for path in DOCKERFILES] == ["serve.Dockerfile", "train.Dockerfile"]


def test_images_are_built_on_one_base_without_a_frontend_of_their_own(dockerfile: Path) -> None:
    bases = {arguments.split()[0] for name, arguments in instructions(dockerfile) if name == "FROM"}
    assert bases == {"${PYTHON_IMAGE}"}
    name, default = instructions(dockerfile)[0]
    assert name == "ARG"
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11-slim@sha256:[0-9a-f]{64}", default)
    assert default == instructions(DOCKERFILES[0])[0][1]
    assert "syntax=" not in dockerfile.read_text()


def test_processes_run_as_a_numbered_user_and_receive_signals_themselves(dockerfile: Path) -> None:
    final = dict(instructions(dockerfile))  # the last instruction of each name is the one that holds
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final["USER"])
    for name in {"CMD", "ENTRYPOINT"} & final.keys():
        assert final[name].startswith("["), f"{name} would run in a shell, which keeps SIGTERM to itself"


def test_onnx_runtime_sends_no_reports(dockerfile: Path) -> None:
    final = dict(instructions(dockerfile))
    assert "ORT_DISABLE_TELEMETRY=1" in final["ENV"].split()


def test_images_carry_the_version_of_the_code(dockerfile: Path) -> None:
    assert ("ARG", f"VERSION={capsnet.__version__}") in instructions(dockerfile)


def test_images_say_what_they_are_made_of(dockerfile: Path) -> None:
    labels = dict(
        re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', dict(instructions(dockerfile))["LABEL"])
    )
    assert labels.keys() >= {"title", "description", "version", "licenses", "revision", "source", "base.name"}
    declared = {arguments.partition("=")[0] for name, arguments in instructions(dockerfile) if name == "ARG"}
    assert {name for value in labels.values() for name in re.findall(r"\$\{(\w+)\}", value)} <= declared


def test_a_release_is_pinned_and_carries_its_origin() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    (build,) = (
        step["with"]
        for step in workflow["jobs"]["images"]["steps"]
        if step.get("uses", "").startswith("docker/build-push-action")
    )
    assert build["sbom"] is True
    assert build["provenance"] == "mode=max"
    given = {line.partition("=")[0] for line in build["build-args"].splitlines()}
    declared = {
        arguments.partition("=")[0]
        for dockerfile in DOCKERFILES
        for name, arguments in instructions(dockerfile)
        if name == "ARG"
    }
    assert given <= declared
    images = {entry["dockerfile"] for entry in workflow["jobs"]["images"]["strategy"]["matrix"]["include"]}
    assert images == {str(path.relative_to(ROOT)) for path in DOCKERFILES}


def test_nothing_is_installed_without_a_hash_but_the_torch_of_another_index(dockerfile: Path) -> None:
    (run,) = (text for name, text in instructions(dockerfile) if name == "RUN" and " install " in text)
    commands = [
        text for text in re.split(r"&&|;", run) if re.search(r"install (-|\$)", text) and "$@" not in text
    ]
    unhashed = [text for text in commands if "--require-hashes" not in text]
    assert [text for text in unhashed if "--index-url" not in text] == []
    assert len(unhashed) == (dockerfile.name == "train.Dockerfile")


def test_the_digests_of_images_are_renewed_by_one_command(tmp_path: Path) -> None:
    """With a `docker` that knows one digest; which image it is asked for, it notes."""
    for name in ("docker", "docker-compose.yml", "Makefile"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$4" >> {tmp_path}/asked\necho sha256:{"0" * 64}\n')
    docker.chmod(0o755)
    path = f"{docker.parent}:{os.environ['PATH']}"
    subprocess.run(["make", "pin-images"], cwd=tmp_path, env={"PATH": path}, check=True, timeout=60)
    asked = (tmp_path / "asked").read_text().split()
    assert sorted(name.partition(":")[0] for name in asked) == [
        "grafana/grafana",
        "nginx",
        "prom/prometheus",
        "python",
    ]
    files = [tmp_path / "docker-compose.yml", *(tmp_path / "docker").rglob("*.*")]
    digests = re.findall(
        r"@sha256:([0-9a-f]+)", "".join(file.read_text() for file in files if file.is_file())
    )
    assert digests == ["0" * 64] * 5


def test_code_is_copied_after_the_dependencies_are_installed(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    installed = text.rindex("-r /tmp/requirements/")
    assert installed < text.index("COPY capsnet")
    assert text.index("COPY --from=dependencies") < text.index("COPY --from=code")


def test_the_serving_image_holds_the_packages_that_the_service_imports_and_no_other() -> None:
    graph = grimp.build_graph("app", "capsnet", "model", "training", cache_dir=None)
    needed = {name.partition(".")[0] for name in graph.find_upstream_modules("app", as_package=True)} | {
        "app"
    }
    copied = {
        source
        for name, arguments in instructions(ROOT / "docker" / "serve.Dockerfile")
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
        if (ROOT / source / "__init__.py").is_file()
    }
    assert copied == needed
