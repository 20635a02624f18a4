"""Answer of `POST /explain`."""

from typing import Literal

from pydantic import Field

from .requests import DrawingParameters
from .responses import Answer, Prediction


class ExplainParameters(DrawingParameters):
    """Query string of `POST /explain`."""


class ExplainAnswer(Answer):
    """Where the evidence for a class lies. Pictures are 8-bit PNG files in base64 at the network's own size."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    method: Literal["occlusion"] = Field(
        description="`occlusion`: patches are covered one at a time. The network is asked from outside; how its "
        "capsules were routed is not shown."
    )
    capsule: Prediction = Field(description="The capsule that is explained.")
    patch: int = Field(ge=1, description="Side of a patch in pixels of the network's image.")
    stride: int = Field(ge=1, description="Pixels from one patch to the next.")
    falls: list[list[float]] = Field(
        description="By how much the capsule's length falls with each patch covered, [rows][columns]; below 0 where it "
        "grows."
    )
    heat: list[list[float]] = Field(
        description="For each pixel the mean fall of the patches that cover it, [H][W]."
    )
    input: str = Field(description="What the network saw.")
    map: str = Field(
        description="That in grey with the heat over it: orange supports the class, blue speaks against."
    )
