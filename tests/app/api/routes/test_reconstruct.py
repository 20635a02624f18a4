"""POST /reconstruct and POST /decode over real HTTP."""

import httpx
import numpy as np
import pytest

from app.api.schemas.responses import DecodeAnswer, ReconstructAnswer
from capsnet.guard import distance
from tests.app.server_process import assert_problem, pixels_of

FIELDS = {
    "model",
    "version",
    "capsule",
    "pose",
    "perturbed_pose",
    "perturbations",
    "directions",
    "distance",
    "input",
    "reconstruction",
    "perturbed",
}


def reconstruct(client: httpx.Client, image: bytes, query: str = "", accept: str = "*/*") -> httpx.Response:
    return client.post(f"/reconstruct{query}", files={"file": image}, headers={"Accept": accept})


def test_without_a_change_it_draws_the_longest_capsule(client: httpx.Client, seven: bytes) -> None:
    response = reconstruct(client, seven)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == FIELDS
    ReconstructAnswer.model_validate(answer, strict=True)
    seen = client.post("/classify", files={"file": seven}).json()
    assert answer["capsule"] == seen["predictions"][0]
    assert answer["pose"] == answer["perturbed_pose"] == seen["poses"][answer["capsule"]["index"]]
    assert answer["perturbations"] == answer["directions"] == []
    assert answer["perturbed"] == answer["reconstruction"]
    assert answer["distance"] == pytest.approx(seen["reconstruction"]["distance"], rel=1e-5)


def test_input_is_what_the_network_saw(client: httpx.Client, seven: bytes) -> None:
    answer = reconstruct(client, seven).json()
    assert np.array_equal(pixels_of(answer["input"]), pixels_of(seven))


def test_moves_the_dimension_and_no_other_and_the_image_shows_it(client: httpx.Client, seven: bytes) -> None:
    answer = reconstruct(client, seven, "?dim=3&delta=0.1").json()
    moved = np.array(answer["perturbed_pose"], np.float32) - np.array(answer["pose"], np.float32)
    assert moved[3] == pytest.approx(0.1, abs=1e-6)
    assert np.array_equal(np.delete(moved, 3), np.zeros(15))
    assert answer["perturbations"] == [{"dim": 3, "delta": 0.1}]
    assert not np.array_equal(pixels_of(answer["perturbed"]), pixels_of(answer["reconstruction"]))
    plain = reconstruct(client, seven).json()
    assert plain["reconstruction"] == answer["reconstruction"]
    assert plain["distance"] == answer["distance"]


def test_several_pairs_move_several_dimensions(client: httpx.Client, seven: bytes) -> None:
    answer = reconstruct(client, seven, "?dim=0&delta=-2&dim=15&delta=2").json()
    moved = np.array(answer["perturbed_pose"], np.float32) - np.array(answer["pose"], np.float32)
    assert np.flatnonzero(moved).tolist() == [0, 15]
    assert answer["perturbations"] == [{"dim": 0, "delta": -2}, {"dim": 15, "delta": 2}]


@pytest.mark.parametrize(
    ("model", "label", "index", "name"),
    [
        ("mnist", "4", 4, "4"),
        ("pair", "dog", 2, "dog"),
        ("pair", "0", 0, "cat"),
        ("pair", "2", 1, "2"),  # the name of one class, the index of another: the name counts
    ],
)
def test_another_class_can_be_drawn_by_name_or_index(
    client: httpx.Client, seven: bytes, model: str, label: str, index: int, name: str
) -> None:
    capsule = reconstruct(client, seven, f"?model={model}&label={label}").json()["capsule"]
    assert (capsule["index"], capsule["label"]) == (index, name)


NAMES = ("cat", "2", "dog")  # of the classes of the model `pair`


def test_of_two_objects_the_distance_is_that_of_both_drawings_together(
    client: httpx.Client, seven: bytes
) -> None:
    seen = client.post("/classify?model=pair", files={"file": seven}).json()
    label, other = (each["index"] for each in seen["predictions"])
    (absent,) = {0, 1, 2} - {label, other}
    drawn = [
        pixels_of(
            client.post("/decode", json={"model": "pair", "label": i, "pose": seen["poses"][i]}).json()[
                "images"
            ][0]
        )
        for i in range(3)
    ]
    shown = pixels_of(seven) / 255
    for asked, beside in ((label, other), (other, label), (absent, label)):
        answer = reconstruct(client, seven, f"?model=pair&label={NAMES[asked]}").json()
        assert answer["capsule"]["index"] == asked
        assert np.array_equal(pixels_of(answer["reconstruction"]), drawn[asked])  # that capsule's alone
        together = np.minimum(drawn[asked] / 255 + drawn[beside] / 255, 1)
        assert answer["distance"] == pytest.approx(
            float(distance(shown[None, None], together[None, None])[0]), rel=0.01
        )
        if asked != absent:
            assert answer["distance"] == pytest.approx(seen["reconstruction"]["distance"], rel=1e-5)


def test_the_protocol_gives_both_drawings_together(client: httpx.Client, seven: bytes) -> None:
    image = (pixels_of(seven) / 255).flatten().tolist()
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": image}
    answer = client.post("/v2/models/pair/infer", json={"inputs": [tensor]}).json()
    found = {output["name"]: np.array(output["data"]) for output in answer["outputs"]}
    label = np.argsort(-found["lengths"])[:2]
    poses = found["poses"].reshape(3, 4)[label].tolist()
    drawn = [
        pixels_of(
            client.post("/decode", json={"model": "pair", "label": int(i), "pose": pose}).json()["images"][0]
        )
        for i, pose in zip(label, poses, strict=True)
    ]
    together = np.minimum(drawn[0] / 255 + drawn[1] / 255, 1).flatten()
    np.testing.assert_allclose(found["reconstruction"], together, atol=0.01)


@pytest.mark.parametrize(
    "accept", ["image/png", "image/*", "application/json;q=0.5, image/png", "image/png, */*"]
)
def test_a_client_that_prefers_png_gets_the_perturbed_image(
    client: httpx.Client, seven: bytes, accept: str
) -> None:
    response = reconstruct(client, seven, "?dim=3&delta=0.5", accept)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["vary"] == "Accept"
    answer = reconstruct(client, seven, "?dim=3&delta=0.5").json()
    assert np.array_equal(pixels_of(response.content), pixels_of(answer["perturbed"]))


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "image/png;q=0.1, application/json",
        "text/html",
        "image/png;q=0",
        "junk;q=x",
    ],
)
def test_any_other_client_gets_json(client: httpx.Client, seven: bytes, accept: str) -> None:
    assert reconstruct(client, seven, "", accept).headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("dim=3", ["'delta' is given 0 times", "'dim' is given 1 times", "pairs"]),
        ("delta=0.1", ["'delta' is given 1 times"]),
        ("dim=3&delta=0.1&dim=4", ["'dim' is given 2 times"]),
        ("dim=16&delta=0.1", ["'dim'", "16", "from 0 to 15"]),
        ("dim=-1&delta=0.1", ["'dim'", "'-1'"]),
        ("dim=3&delta=2.1", ["'delta'", "'2.1'", "should be from -2 to 2"]),
        ("dim=3&delta=-2.1", ["'delta'", "'-2.1'"]),
        ("dim=3&delta=nan", ["'delta'", "finite"]),
        ("dim=3&delta=inf", ["'delta'", "finite"]),
        ("dim=3&delta=0.1&dim=3&delta=0.1", ["'dim'", "3", "once"]),
        ("dim=3&detla=0.1", ["'detla'", "(did you mean 'delta'?)"]),
        ("label=ten", ["'label'", "'ten'", "from 0 to 9"]),
        ("label=10", ["'label'", "'10'"]),
        ("label=-1", ["'label'", "'-1'"]),
        ("label=²", ["'label'"]),
        ("top_k=3", ["'top_k'"]),
    ],
)
def test_wrong_parameters_are_named(client: httpx.Client, seven: bytes, query: str, words: list[str]) -> None:
    assert_problem(reconstruct(client, seven, f"?{query}"), 422, *words)


def test_decode_draws_what_reconstruct_drew(client: httpx.Client, seven: bytes) -> None:
    drawn = reconstruct(client, seven, "?dim=3&delta=0.4").json()
    label = drawn["capsule"]["label"]
    poses = [drawn["pose"], drawn["perturbed_pose"]]
    answer = client.post("/decode", json={"label": label, "poses": poses}).json()
    assert set(answer) == {"model", "version", "images"}
    DecodeAnswer.model_validate(answer, strict=True)
    assert answer["images"] == [drawn["reconstruction"], drawn["perturbed"]]
    single = client.post("/decode", json={"label": label, "pose": drawn["perturbed_pose"]}).json()
    assert single["images"] == [drawn["perturbed"]]
    one = client.post(
        "/decode", json={"label": label, "pose": drawn["pose"]}, headers={"Accept": "image/png"}
    )
    assert np.array_equal(pixels_of(one.content), pixels_of(drawn["reconstruction"]))


def test_decode_takes_a_label_for_each_pose(client: httpx.Client) -> None:
    pose = [0.3, -0.2, 0.9, 0.1]
    each = client.post(
        "/decode", json={"model": "pair", "labels": ["cat", 1, "dog"], "poses": [pose] * 3}
    ).json()
    alone = [
        client.post("/decode", json={"model": "pair", "label": label, "pose": pose}).json()["images"][0]
        for label in (0, "2", 2)
    ]
    assert each["images"] == alone
    assert len(set(alone)) == 3


def test_decode_takes_1024_poses_and_keeps_their_order(client: httpx.Client) -> None:
    poses = np.random.default_rng(1).normal(size=(1024, 16)).round(3).tolist()
    answer = client.post("/decode", json={"label": 5, "poses": poses}).json()
    assert len(answer["images"]) == 1024
    for index in (0, 511, 1023):
        alone = client.post("/decode", json={"label": 5, "pose": poses[index]}).json()
        assert alone["images"][0] == answer["images"][index]


POSE = [0.0] * 16


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"label": 1}, ["'pose' is missing", "'poses'"]),
        ({"pose": POSE}, ["'label' is missing", "'labels'"]),
        ({"label": 1, "pose": POSE, "poses": [POSE]}, ["'pose' is given beside 'poses'"]),
        ({"label": 1, "labels": [1], "pose": POSE}, ["'label' is given beside 'labels'"]),
        ({"labels": [1, 2], "poses": [POSE]}, ["'labels' is 2 long: should be 1"]),
        ({"label": 1, "pose": POSE[1:]}, ["pose", "15 numbers", "should have 16"]),
        ({"labels": ["7", "x"], "poses": [POSE, POSE]}, ["'labels[1]' is 'x'"]),
        ({"label": "x", "poses": [POSE, POSE]}, ["'label' is 'x'"]),
        ({"label": 1, "poses": [POSE, [*POSE, 0.0]]}, ["'poses[1]'", "17 numbers"]),
        ({"label": 1, "pose": []}, ["'pose'"]),
        ({"label": 1, "poses": []}, ["'poses'"]),
        ({"label": 1, "poses": [POSE] * 1025}, ["'poses'", "1024"]),
        ({"label": 1, "pose": ["0.1", *POSE[1:]]}, ["'pose[0]'", "'0.1'"]),
        ({"label": 1, "pose": [True, *POSE[1:]]}, ["'pose[0]'"]),
        ({"label": 1, "pose": [1e7, *POSE[1:]]}, ["'pose[0]'", "10000000"]),
        ({"label": 1, "pose": [None] * 16}, ["'pose[0]' is null: should be a valid number"]),
        ({"label": "7" * 201, "pose": POSE}, ["'label", "200 characters"]),
        ({"label": True, "pose": POSE}, ["'label'"]),
        ({"label": 10, "pose": POSE}, ["label", "10", "from 0 to 9"]),
        ({"label": -1, "pose": POSE}, ["label", "-1"]),
        ({"label": "", "pose": POSE}, ["label"]),
        ({"lable": 1, "pose": POSE}, ["'lable'", "did you mean 'label'?"]),
        ([], ["'body'"]),
    ],
)
def test_decode_names_what_is_wrong(client: httpx.Client, body: object, words: list[str]) -> None:
    assert_problem(client.post("/decode", json=body), 422, *words)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_decode_takes_finite_numbers_only(client: httpx.Client, number: str) -> None:
    body = f'{{"label": 1, "pose": [{number}{", 0" * 15}]}}'
    response = client.post("/decode", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "'pose[0]'")


@pytest.mark.parametrize("body", ["", "{", "{'label': 1}", '{"label": 1', "\xff", "[" * 100_000])
def test_decode_says_where_a_body_is_no_json(client: httpx.Client, body: str) -> None:
    response = client.post(
        "/decode", content=body.encode("latin-1"), headers={"Content-Type": "application/json"}
    )
    assert_problem(response, 400, "not JSON")


def test_decode_takes_no_query(client: httpx.Client) -> None:
    response = client.post("/decode?model=pair", json={"label": 1, "pose": POSE})
    assert_problem(response, 422, "'model'", "this route takes none")


def test_decode_wants_json(client: httpx.Client) -> None:
    response = client.post("/decode", data={"label": "1"})
    assert_problem(response, 415, "application/x-www-form-urlencoded", "application/json")


def test_decode_knows_the_models(client: httpx.Client) -> None:
    assert_problem(
        client.post("/decode", json={"model": "nope", "label": 1, "pose": POSE}), 404, "mnist, pair"
    )


def test_one_png_cannot_hold_two_poses(client: httpx.Client) -> None:
    response = client.post(
        "/decode", json={"label": 1, "poses": [POSE, POSE]}, headers={"Accept": "image/png"}
    )
    assert_problem(response, 422, "'poses'", "one image")
