"""The descriptions of exports in tests, and the inputs for tests that run one."""

from pathlib import Path

from capsnet.config import InputSpec
from model.export.exporter import ExportMetadata
from model.nn.layers import CapsuleNetwork

Exported = tuple[CapsuleNetwork, Path]

DESCRIPTION = ExportMetadata(
    name="test",
    version="7",
    classes=tuple("0123456789"),
    input=InputSpec(channels=1, height=28, width=28, preprocess="mnist"),
    objects=1,
    training={"command": "none"},
)
