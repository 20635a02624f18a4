"""The lock files against pyproject.toml: complete, exact, in agreement, and free of what does not belong in them."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Each lock file and the extras that it holds besides the dependencies of serving.
LOCKS = {
    "serve": (),
    "serve-cpu": (),
    "serve-gpu": ("gpu",),
    "train": ("train",),
    "dev": ("heic", "otel", "train", "dev"),
}


def lines(name: str) -> list[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def locked(name: str) -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines(name))}


def declared(extras: tuple[str, ...]) -> list[Requirement]:
    """The project's own requirements, without those by which one of its extras includes another."""
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    requirements = map(Requirement, itertools.chain.from_iterable(groups))
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_one_exact_version_and_names_no_index(name: str) -> None:
    for line in lines(name):
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][^ ;@/]*( ; .+)?", line), line
    assert len(lines(name)) == len(locked(name)), "a package is listed twice"


@pytest.mark.parametrize("name", LOCKS)
def test_every_dependency_is_locked_within_its_range(name: str) -> None:
    pins = locked(name)
    for requirement in declared(LOCKS[name]):
        if name == "serve-cpu" and requirement.name == "onnxruntime-gpu":
            continue
        (version,) = pins[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(version.version), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("name", sorted(LOCKS.keys() - {"dev"}))
def test_a_larger_environment_contains_the_smaller_one(name: str) -> None:
    everything = locked("dev")
    for package, pin in locked(name).items():
        if not package.startswith("nvidia-"):
            assert pin.specifier == everything[package].specifier


def test_the_runtime_of_each_image() -> None:
    assert "onnxruntime-gpu" not in locked("serve-cpu")
    assert locked("serve-cpu")["onnxruntime"].marker is None
    assert "nvidia-cudnn-cu13" in locked("serve-gpu")


@pytest.mark.parametrize("name", [name for name in LOCKS if name.startswith("serve")])
def test_serving_installs_nothing_of_training(name: str) -> None:
    assert locked(name).keys().isdisjoint({"torch", "lightning-fabric", "onnx", "onnxscript", "safetensors"})


@pytest.mark.parametrize("name", ["train", "dev"])
def test_the_choice_of_cuda_is_left_to_the_wheel_of_torch(name: str) -> None:
    assert not [package for package in locked(name) if package == "triton" or package.startswith("nvidia-")]
