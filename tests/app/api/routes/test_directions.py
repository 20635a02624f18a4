"""Named directions of the pose over real HTTP: /reconstruct, /sweep and /transform, and refusals."""

import httpx
import numpy as np
import pytest

from app.api.schemas.responses import ReconstructAnswer, SweepAnswer
from app.api.schemas.transform import TransformAnswer
from capsnet import CapsnetError, Client
from capsnet.directions import explained, linearity
from capsnet.transforms import transform
from tests.app.server_process import Server, assert_problem, pixels_of


def ask(client: httpx.Client, path: str, image: bytes) -> httpx.Response:
    return client.post(path, files={"file": image})


def test_directions_move_the_whole_pose_together_with_dimensions(client: httpx.Client, seven: bytes) -> None:
    query = "?direction=slant&amount=12&direction=width&amount=-10&dim=3&delta=0.1"
    answer = ask(client, f"/reconstruct{query}", seven).json()
    ReconstructAnswer.model_validate(answer, strict=True)
    pose, moved = (np.array(answer[name], np.float32) for name in ("pose", "perturbed_pose"))
    expected = np.zeros(16)
    expected[[0, 1, 3]] = 0.12, -10 * (0.01 + 0.001 * pose[1]), 0.1  # width depends on the pose
    assert moved - pose == pytest.approx(expected, abs=1e-6)
    assert answer["directions"] == [
        {"direction": "slant", "amount": 12.0, "unit": "degrees"},
        {"direction": "width", "amount": -10.0, "unit": "per cent"},
    ]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?direction=slant", ("'amount'", "pairs")),
        ("?direction=slant&amount=1&direction=slant&amount=2", ("'direction'", "once")),
        ("?direction=weight&amount=1", ("'weight'", "should be one of slant, width")),
        ("?direction=slant&amount=21", ("'amount' is 21", "from -20 to 20 degrees")),
        ("?direction=slant&amount=181", ("amount", "from -180 to 180")),
        ("?direction=slant&amount=1&model=pair", ("the model's card names none",)),
    ],
)
def test_a_direction_that_cannot_be_taken_is_refused(
    client: httpx.Client, seven: bytes, query: str, words: tuple[str, ...]
) -> None:
    assert_problem(ask(client, f"/reconstruct{query}", seven), 422, *words)


def test_a_sweep_has_a_row_for_each_direction(client: httpx.Client, seven: bytes) -> None:
    answer = ask(client, "/sweep?directions=width,slant&dims=3&steps=5", seven).json()
    SweepAnswer.model_validate(answer, strict=True)
    assert answer["dims"] == [3]
    assert [each["direction"] for each in answer["directions"]] == ["width", "slant"]
    assert answer["directions"][1] == {
        "direction": "slant",
        "unit": "degrees",
        "amounts": [-20, -10, 0, 10, 20],
    }
    for row, name in ((1, "width"), (2, "slant")):
        for column, amount in enumerate(answer["directions"][row - 1]["amounts"]):
            query = f"?direction={name}&amount={amount}"
            assert (
                answer["frames"][row][column]
                == ask(client, f"/reconstruct{query}", seven).json()["perturbed"]
            )
    assert len(ask(client, "/sweep?directions=slant&steps=3", seven).json()["frames"]) == 1
    assert_problem(ask(client, "/sweep?directions=slant,slant", seven), 422, "'directions'", "once")
    assert_problem(ask(client, "/sweep?directions=slant,", seven), 422, "commas between them")


def test_the_transformed_image_is_read_step_by_step(client: httpx.Client, seven: bytes) -> None:
    answer = ask(client, "/transform?by=slant&min=-10&max=20&steps=4", seven).json()
    TransformAnswer.model_validate(answer, strict=True)
    assert (answer["property"], answer["unit"], answer["measured"]) == ("slant", "degrees", [-20, 20])
    assert [step["amount"] for step in answer["steps"]] == [-10, 0, 10, 20]
    pose = np.array(answer["pose"])
    plain = pixels_of(ask(client, "/reconstruct", seven).json()["input"])
    slanted = transform((plain[None, None] / 255).astype(np.float32), "slant", 20.0)
    assert pixels_of(answer["steps"][3]["input"]) == pytest.approx(slanted[0, 0] * 255, abs=1)
    for step in answer["steps"]:
        assert np.array(step["foretold"]) - pose == pytest.approx(
            0.01 * step["amount"] * np.eye(16)[0], abs=1e-6
        )
    assert answer["steps"][1]["pose"] == pytest.approx(answer["pose"], abs=1e-6)
    assert answer["steps"][1]["length"] == pytest.approx(answer["capsule"]["length"], abs=1e-6)
    poses, foretold = (np.array([step[name] for step in answer["steps"]]) for name in ("pose", "foretold"))
    assert answer["explained"] == pytest.approx(explained(poses, pose, foretold), abs=1e-4)
    assert answer["linearity"] == pytest.approx(linearity(poses, np.array([-10, 0, 10, 20])), abs=1e-4)


def test_what_no_direction_foretells_is_read_all_the_same(client: httpx.Client, seven: bytes) -> None:
    answer = ask(client, "/transform?by=weight&steps=3&label=2", seven).json()
    TransformAnswer.model_validate(answer, strict=True)
    assert answer["capsule"]["label"] == "2"
    assert answer["measured"] is answer["explained"] is answer["steps"][0]["foretold"] is None
    assert [step["amount"] for step in answer["steps"]] == [-1, 0, 1]


def test_straight_ways_are_told_from_bent_ones() -> None:
    amounts = np.linspace(-3, 9, 7)
    straight = np.outer(amounts, [0.3, -0.1, 0.2]) + 5
    assert linearity(straight, amounts) == pytest.approx(1)
    corner = np.abs(amounts - 3)[:, None] * [1, 1]  # there and back
    assert linearity(corner, amounts) == pytest.approx(0, abs=1e-9)
    half = np.concatenate([straight, 0.3 * corner], axis=1)
    assert 0.3 < (linearity(half, amounts) or 0) < 0.9
    assert linearity(np.ones((7, 2)), amounts) is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?by=colour", ("by", "rotation")),
        ("?by=weight&max=4", ("'max'", "from -3 to 3 pixels")),
        ("?min=5&max=5", ("'min'", "less than 'max'")),
        ("?min=30", ("'min'", "less than 'max', which is 15")),
        ("?steps=1", ("steps", "from 2 to 51")),
    ],
)
def test_a_transformation_has_bounds(
    client: httpx.Client, seven: bytes, query: str, words: tuple[str, ...]
) -> None:
    assert_problem(ask(client, f"/transform{query}", seven), 422, *words)


def test_the_client_asks_for_directions_and_transformations(server: Server, seven: bytes) -> None:
    with Client(server.url) as client:
        drawn = client.reconstruct(seven, directions={"slant": 12})
        assert drawn.directions == {"slant": 12}
        assert drawn.perturbed_pose[0] - drawn.pose[0] == pytest.approx(0.12, abs=1e-6)
        swept = client.sweep(seven, directions=["slant"], steps=3)
        assert (swept.dims, swept.directions) == ((), {"slant": (-20, 0, 20)})
        found = client.transform(seven, by="slant", steps=3)
        assert [step.amount for step in found.steps] == [-25, 0, 25]
        assert found.sheet().pixels().shape == (84, 84)
        assert "foretold R²" in found._repr_html_()
        with pytest.raises(CapsnetError, match="should be one of slant, width"):
            client.reconstruct(seven, directions={"size": 1})


def test_the_cards_list_directions_with_their_bounds(client: httpx.Client) -> None:
    card = client.get("/models/mnist").json()
    slant = card["pose_directions"]["7"][0]
    assert (slant["property"], slant["unit"], slant["minimum"], slant["maximum"]) == (
        "slant",
        "degrees",
        -20,
        20,
    )
