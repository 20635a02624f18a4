"""Define the parameters and the answer of `POST /transform`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from capsnet.transforms import PROPERTIES

from .requests import MAX_STEPS, Amount, Between, DrawingParameters, refusal
from .responses import POSE, Answer, Prediction

By = Literal["rotation", "slant", "width", "height", "size", "weight", "shift_x", "shift_y"]
LIMITS = ", ".join(f"{name} {each.limit:g} {each.unit}" for name, each in PROPERTIES.items())
PNG_IMAGE = "8-bit PNG in base64 at the network's own size"


class TransformParameters(DrawingParameters):
    """Query string of `POST /transform`."""

    by: By = Field(
        "rotation",
        description="The property to change: rotation and slant in degrees (clockwise, to the right); width, height "
        "and size in per cent; weight, the thickness of the stroke, in pixels; shift_x and shift_y in pixels (right, "
        "down).",
        examples=["rotation"],
    )
    min: Amount | None = Field(
        None,
        description=f"Amount of the first step; by default the smallest that directions are measured at. The largest "
        f"amounts, in both directions: {LIMITS}.",
        examples=[-20],
    )
    max: Amount | None = Field(
        None,
        description="Amount of the last step, larger than `min`; by default as for `min`.",
        examples=[20],
    )
    steps: Annotated[int, Between(2, MAX_STEPS)] = Field(
        13,
        description="Number of steps, evenly spaced from `min` to `max`, both of them included.",
        examples=[9],
    )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        chosen = PROPERTIES[self.by]
        for name, amount in (("'min'", self.lowest), ("'max'", self.highest)):
            if abs(amount) > chosen.limit:
                allowed = f"should be from {-chosen.limit:g} to {chosen.limit:g} {chosen.unit} for {self.by}"
                raise refusal(name, f"{amount:g}", allowed)
        if self.lowest >= self.highest:
            raise refusal(
                "'min'", f"{self.lowest:g}", f"should be less than 'max', which is {self.highest:g}"
            )
        return self

    @property
    def lowest(self) -> float:
        """Return the first amount, in the unit of the property."""
        return -PROPERTIES[self.by].reach if self.min is None else self.min

    @property
    def highest(self) -> float:
        """Return the last amount, in the unit of the property."""
        return PROPERTIES[self.by].reach if self.max is None else self.max


class TransformedStep(Answer):
    """The image transformed by one amount."""

    amount: float = Field(ge=-180, le=180, description="By how much, in the answer's unit.")
    length: float = Field(ge=0, le=1, description="Length of the capsule in the transformed image, 0 to 1.")
    pose: list[float] = Field(description=f"Its pose there, [D], {POSE}.")
    foretold: list[float] | None = Field(
        description="The pose that the direction foretells from the image as it came, [D]; null where none is named."
    )
    input: str = Field(description=f"The transformed image as the network saw it, {PNG_IMAGE}.")
    reconstruction: str = Field(description=f"What its pose draws, {PNG_IMAGE}.")
    foretold_reconstruction: str | None = Field(
        description=f"What the foretold pose draws, {PNG_IMAGE}; or null."
    )


class TransformAnswer(Answer):
    """Equivariance as a measurement: the image is transformed, and the pose moves."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    capsule: Prediction = Field(
        description="The capsule that was read, with its length in the image as it came."
    )
    pose: list[float] = Field(description=f"Its pose in the image as it came, [D], {POSE}.")
    property: str = Field(description="What was changed.")
    unit: str = Field(description="Unit of the amounts.")
    measured: list[float] | None = Field(
        description="The smallest and the largest amount at which the card measured the direction; null where the card "
        "names none for the class. Beyond them the direction is extrapolated."
    )
    explained: float | None = Field(
        le=1,
        description="How much of the way that the pose moved the direction foretells: R squared over all steps, 1 at "
        "most; 0 is as good as a pose that stays. null where the card names no direction.",
    )
    linearity: float | None = Field(
        le=1,
        description="How straight the way of the pose is: R squared of the poses along a line of their own, over all "
        "steps. It needs no direction, so it compares capsules with features of a CNN. null where the pose stays.",
    )
    steps: list[TransformedStep] = Field(description="One entry for each amount, in ascending order.")
