"""POST /explain over real HTTP: falls are what /classify says of covered images, and the map is an image."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.schemas.explain import OcclusionAnswer
from tests.app.server_process import assert_problem, pixels_of, png


def test_falls_are_those_of_covered_images(client: httpx.Client, seven: bytes) -> None:
    answer = client.post("/explain?preprocess=none", files={"file": seven}).json()
    OcclusionAnswer.model_validate(answer, strict=True)
    falls, heat = np.array(answer["falls"]), np.array(answer["heat"])
    assert (answer["method"], answer["patch"], answer["stride"]) == ("occlusion", 6, 2)
    assert falls.shape == (12, 12)
    assert heat.shape == (28, 28)
    covered = pixels_of(seven).copy()
    covered[8:14, 12:18] = 0  # the patch of row 4 and column 6
    seen = client.post("/classify?preprocess=none&verify=false", files={"file": png(covered)}).json()
    index = answer["capsule"]["index"]
    assert falls[4, 6] == pytest.approx(answer["capsule"]["length"] - seen["lengths"][index], abs=1e-5)
    assert heat[0, 0] == pytest.approx(falls[0, 0], abs=1e-6)


def test_the_map_is_an_image_in_colour(client: httpx.Client, seven: bytes) -> None:
    response = client.post("/explain?label=2", files={"file": seven}, headers={"Accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    drawn = Image.open(io.BytesIO(response.content))
    assert (drawn.mode, drawn.size) == ("RGB", (28, 28))
    refused = client.post("/explain?method=votes", files={"file": seven})
    assert_problem(refused, 422, "'method' is 'votes'", "have no place in the image")
    assert_problem(client.post("/explain?label=x", files={"file": seven}), 422, "'label'")
