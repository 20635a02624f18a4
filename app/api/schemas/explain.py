"""Define the parameters and answers of `POST /explain`."""

from typing import Literal

from pydantic import Field

from .requests import DrawingParameters
from .responses import Answer, Prediction

PNG_IMAGE = "8-bit PNG in base64 at the network's own size"


class ExplainParameters(DrawingParameters):
    """Query string of `POST /explain`."""

    method: Literal["votes", "occlusion"] | None = Field(
        None,
        description="`votes` of capsules that have a place in the image, or `occlusion`, which every model allows. By "
        "default votes where the model's card names its `routing`.",
        examples=["occlusion"],
    )


class Explained(Answer):
    """What both methods answer."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    capsule: Prediction = Field(description="The capsule that is explained.")
    input: str = Field(description=f"What the network saw, {PNG_IMAGE}.")
    map: str = Field(
        description=f"That in grey with the heat over it, {PNG_IMAGE}: orange supports the class, blue speaks against."
    )


class OcclusionAnswer(Explained):
    """Where the capsule shortens as the image is covered. How the capsules were routed is not shown."""

    method: Literal["occlusion"] = Field(description="Patches are covered one at a time.")
    patch: int = Field(ge=1, description="Side of a patch in pixels of the network's image.")
    stride: int = Field(ge=1, description="Pixels from one patch to the next.")
    falls: list[list[float]] = Field(
        description="By how much the capsule's length falls with each patch covered, [rows][columns]; below 0 where it "
        "grows."
    )
    heat: list[list[float]] = Field(
        description="For each pixel the mean fall of the patches that cover it, [H][W]."
    )


class VotesGrid(Answer):
    """Where the capsules below stand, in pixels of the network's image."""

    rows: int = Field(ge=1, description="Rows of places, R.")
    columns: int = Field(ge=1, description="Columns of places, K.")
    types: int = Field(ge=1, description="Capsules at each place.")
    field: int = Field(ge=1, description="Side of the square that a place sees, in pixels.")
    step: int = Field(ge=1, description="Pixels from one square to the next.")
    first: int = Field(
        description="Where the first square begins, in pixels; below 0 where it begins outside."
    )


class VotesIteration(Answer):
    """One iteration of the routing."""

    length: float = Field(ge=0, le=1, description="Length of the capsule after this iteration, 0 to 1.")
    couplings: list[list[float]] = Field(
        description="The share of their predictions that the capsules at a place give to the class, 0 to 1, their "
        "mean, [R][K]. In the first iteration every class gets the same."
    )
    votes: list[list[float]] = Field(
        description="The votes of the capsules at a place, [R][K]: for each the coupling, times the part of its "
        "prediction along the class's pose. They add up to the norm of the class's weighted sum before the squash "
        "(without a bias of the class); below 0 they shorten the capsule."
    )
    map: str = Field(
        description=f"The heat of these votes over the image, {PNG_IMAGE}; one scale for all iterations."
    )


class VotesAnswer(Explained):
    """Where the votes for the class come from in each iteration of the routing."""

    method: Literal["votes"] = Field(
        description="Couplings times agreement, on the grid of the capsules below."
    )
    grid: VotesGrid = Field(description="Where these capsules stand.")
    iterations: list[VotesIteration] = Field(
        description="The iterations of the routing, the first one first."
    )
    heat: list[list[float]] = Field(
        description="The last iteration's votes, each spread around the middle of what its place sees, [H][W]. They "
        "add up to the same sum."
    )
