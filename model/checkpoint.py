"""Store networks on disk: tensors in safetensors, everything else as JSON in its header. Nothing is unpickled, so a
checkpoint from an unknown source can be opened safely.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from capsnet.config import ModelConfig, UserError
from model.architectures.registry import build
from model.nn.layers import CapsuleNetwork

FORMAT = "capsnet-checkpoint-1"


class CheckpointError(UserError):
    """A file is not a checkpoint of this project, or does not fit the network that its own config describes."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header so that `path` holds either its old content or all of the new one."""
    metadata = {"format": FORMAT, **{key: json.dumps(value) for key, value in header.items()}}
    content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another kind; the message names it.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.pop("format", None) != FORMAT:
                raise CheckpointError(f"{path}: safetensors, but not a checkpoint of this project ({FORMAT})")
            header = {key: json.loads(value) for key, value in metadata.items()}
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({error})") from None


def config_from(header: Mapping[str, Any], source: Path) -> ModelConfig:
    """Return the network's config from a header; raises CheckpointError naming `source` and the error."""
    try:
        values = dict(header["config"])
        return ModelConfig(**values | {"decoder_hidden": tuple(values["decoder_hidden"])})
    except KeyError as error:
        raise CheckpointError(f"{source}: its header has no {error}") from None
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: its config does not describe a network ({error})") from None


def save_network(path: Path, network: CapsuleNetwork, header: Mapping[str, Any]) -> None:
    """Write a network with its config and the other JSON values of `header` about its origin."""
    write_tensors(path, network.state_dict(), {"config": dataclasses.asdict(network.config), **header})


def load_network(path: Path) -> tuple[CapsuleNetwork, dict[str, Any]]:
    """Return a network in evaluation mode, on the CPU, and the header of its checkpoint.

    Raises
    ------
    CheckpointError
        If the file is not a checkpoint, or its tensors do not fit its config.
    """
    tensors, header = read_tensors(path)
    config = config_from(header, path)
    try:
        network = build(config)
        network.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: {str(error).splitlines()[0]}") from None
    return network.eval(), header
