"""The lock files against pyproject.toml: complete, exact, in agreement, and free of what does not belong in them."""

import itertools
import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Each lock file and the extras that it holds besides the dependencies of the library.
LOCKS = {
    "runtime-cpu": ("cpu",),
    "runtime-gpu": ("gpu",),
    "serve": ("redis", "serve"),
    "train": ("redis", "serve", "train"),
    "dev": ("heic", "otel", "redis", "serve", "train", "dev"),
}
RUNTIMES = {"onnxruntime", "onnxruntime-gpu"}
# What only a runtime brings with it.
OF_A_RUNTIME = {"flatbuffers", "protobuf"}


def entries(name: str) -> list[list[str]]:
    """Each package of a lock file: its line, and its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace(" \\\n", " ")
    return [line.split("    --hash=") for line in text.splitlines() if not line.startswith("#")]


def lines(name: str) -> list[str]:
    return [line.strip() for line, *_ in entries(name)]


def locked(name: str) -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines(name))}


def declared(extras: tuple[str, ...]) -> list[Requirement]:
    """The project's own requirements, without those by which one of its extras includes another."""
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    requirements = map(Requirement, itertools.chain.from_iterable(groups))
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


def test_no_message_tells_to_install_this_project_from_an_index() -> None:
    """No index has it. Messages name the packages themselves, which hold in a clone, an image and a wheel."""
    sources = [
        file for folder in ("app", "capsnet", "model", "training") for file in (ROOT / folder).rglob("*.py")
    ]
    assert len(sources) > 100
    wrong = re.compile(rf"pip install '?{PROJECT['name']}|{PROJECT['name']}\[")
    assert not [file.name for file in sources if wrong.search(file.read_text())]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_one_exact_version_and_names_no_index(name: str) -> None:
    for line in lines(name):
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][^ ;@/]*( ; .+)?", line), line
    assert len(lines(name)) == len(locked(name)), "a package is listed twice"


@pytest.mark.parametrize("name", [*LOCKS, "torch-cuda"])
def test_every_package_has_the_hashes_of_its_files(name: str) -> None:
    for line, *hashes in entries(name):
        assert hashes, f"{line}: run `make lock`"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), line


@pytest.mark.parametrize("name", LOCKS)
def test_what_a_locked_package_needs_is_locked(name: str) -> None:
    """By the metadata of the packages in this environment: pip would refuse to install one that has no hash."""
    pins = locked(name)
    for package, pin in pins.items():
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            installed = distribution(package)
        except PackageNotFoundError:  # of the other runtime
            continue
        for need in map(Requirement, installed.requires or []):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                known = pins if package != "torch" else pins | locked("torch-cuda")
                assert canonicalize_name(need.name) in known, f"{package} needs {need}: run `make lock`"


def test_torch_of_the_default_index_is_that_of_the_training_image() -> None:
    cuda, train = locked("torch-cuda"), locked("train")
    assert "triton" in cuda
    assert all(cuda[name].specifier == train[name].specifier for name in cuda.keys() & train.keys())
    of_torch = [
        [each for each in entries(name) if each[0].startswith("torch==")] for name in ("torch-cuda", "train")
    ]
    assert of_torch[0] == of_torch[1] != []


@pytest.mark.parametrize("name", LOCKS)
def test_every_dependency_is_locked_within_its_range(name: str) -> None:
    pins = locked(name)
    for requirement in declared(LOCKS[name]):
        (version,) = pins[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(version.version), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("name", sorted(LOCKS.keys() - {"dev"}))
def test_a_larger_environment_contains_the_smaller_one(name: str) -> None:
    everything = locked("dev")
    for package, pin in locked(name).items():
        if package not in RUNTIMES | OF_A_RUNTIME and not package.startswith("nvidia-"):
            assert pin.specifier == everything[package].specifier


def test_a_runtime_is_named_by_its_own_file_alone() -> None:
    cpu, gpu = locked("runtime-cpu"), locked("runtime-gpu")
    assert cpu["onnxruntime"].marker is None
    assert "onnxruntime-gpu" not in cpu
    assert "nvidia-cudnn-cu13" in gpu
    assert all(gpu[package].specifier == pin.specifier for package, pin in cpu.items())
    assert gpu["onnxruntime-gpu"].specifier == cpu["onnxruntime"].specifier
    for name in LOCKS.keys() - {"runtime-cpu", "runtime-gpu"}:
        assert locked(name).keys().isdisjoint(RUNTIMES)


@pytest.mark.parametrize(
    ("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
)
def test_the_gpu_file_installs_one_runtime(system: str, machine: str) -> None:
    here = {"sys_platform": system, "platform_machine": machine}
    pins = locked("runtime-gpu")
    installed = [name for name in RUNTIMES if (marker := pins[name].marker) is None or marker.evaluate(here)]
    assert len(installed) == 1


@pytest.mark.parametrize("name", ["serve", "runtime-cpu", "runtime-gpu"])
def test_serving_installs_nothing_of_training(name: str) -> None:
    assert locked(name).keys().isdisjoint({"torch", "lightning-fabric", "onnx", "onnxscript", "safetensors"})


@pytest.mark.parametrize("name", ["train", "dev"])
def test_the_choice_of_cuda_is_left_to_the_wheel_of_torch(name: str) -> None:
    assert not [package for package in locked(name) if package == "triton" or package.startswith("nvidia-")]


@pytest.mark.parametrize("name", ["httptools", "python-multipart", "uvicorn"])
def test_a_package_whose_internals_are_used_is_pinned(name: str) -> None:
    (requirement,) = (each for each in declared(("serve",)) if each.name == name)
    assert [each.operator for each in requirement.specifier] == ["=="]
