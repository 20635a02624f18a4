"""Every call of both clients, against a real service and what plain HTTP says of the same image."""

import asyncio
import inspect
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from capsnet import AsyncClient, CapsnetError, Client, Png, Predictor
from tests.app.server_process import Server


@pytest.fixture
def connection(server: Server) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def test_classify_gives_what_the_route_gives(client: httpx.Client, connection: Client, seven: bytes) -> None:
    answer = client.post("/classify?top_k=3", files={"file": seven}).json()
    found = connection.classify(seven, top_k=3)
    assert found.answer == answer
    assert [vars(each) for each in found.predictions] == answer["predictions"]
    assert (found.label, found.length) == (
        answer["predictions"][0]["label"],
        answer["predictions"][0]["length"],
    )
    np.testing.assert_array_equal(found.lengths, np.float32(answer["lengths"]))
    assert found.poses.shape == (10, 16)
    np.testing.assert_array_equal(found.pose, found.poses[found.predictions[0].index])
    assert found.reconstruction is not None
    assert vars(found.reconstruction) == answer["reconstruction"]
    assert connection.classify(seven, verify=False).reconstruction is None
    assert connection.classify(seven, model="pair").model == "pair"


def test_an_image_may_be_anything_that_holds_one(connection: Client, seven: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    path.write_bytes(seven)
    pixels = np.asarray(Image.open(io.BytesIO(seven)))
    expected = connection.classify(seven).answer
    for image in (path, str(path), io.BytesIO(seven), pixels, pixels / 255, Image.open(io.BytesIO(seven))):
        assert connection.classify(image).answer == expected
    with pytest.raises(ValueError, match="from 0 to 255"):
        connection.classify(pixels / 1.0)
    for shape in ((0, 28), (28,), (28, 28, 5)):
        with pytest.raises(TypeError, match=r"pixels should be uint8 or floats .*, not uint8 of shape"):
            connection.classify(np.zeros(shape, np.uint8))
    with pytest.raises(TypeError, match="not list"):
        connection.classify([1, 2])  # type: ignore[arg-type]
    with path.open(errors="replace") as text, pytest.raises(TypeError, match="'rb'"):
        connection.classify(text)  # type: ignore[arg-type]


def test_reconstruct_moves_the_pose(client: httpx.Client, connection: Client, seven: bytes) -> None:
    query = "/reconstruct?label=2&dim=3&delta=0.5&dim=5&delta=-0.25"
    answer = client.post(query, files={"file": seven}).json()
    drawn = connection.reconstruct(seven, moves={3: 0.5, 5: -0.25}, label=2)
    assert drawn.answer == answer
    assert drawn.moves == {3: 0.5, 5: -0.25}
    assert drawn.capsule.index == 2
    assert drawn.distance == answer["distance"]
    moved = np.flatnonzero(drawn.perturbed_pose != drawn.pose)
    assert moved.tolist() == [3, 5]
    for image in (drawn.input, drawn.reconstruction, drawn.perturbed):
        assert image.pixels().shape == (28, 28)
    assert drawn.perturbed != drawn.reconstruction


def test_a_movement_may_be_given_as_a_pair(connection: Client, seven: bytes) -> None:
    moved = connection.reconstruct(seven, dim=3, delta=0.5)
    assert moved.answer == connection.reconstruct(seven, moves={3: 0.5}).answer
    with pytest.raises(TypeError, match="both dim=3 and delta"):
        connection.reconstruct(seven, moves={3: 0.5}, dim=3, delta=0.5)


def test_clients_and_models_take_the_same_parameters() -> None:
    assert inspect.signature(Client) == inspect.signature(AsyncClient)
    for name in ("classify", "reconstruct", "sweep", "transform", "explain", "decode"):
        own, other, here = (
            list(inspect.signature(getattr(kind, name)).parameters)
            for kind in (Client, AsyncClient, Predictor)
        )
        assert own == other
        assert [each for each in own if each != "model"] == here


def test_the_sheet_is_that_of_the_service(client: httpx.Client, connection: Client, seven: bytes) -> None:
    query = "/sweep?dims=0,3&min=-0.5&max=0.5&steps=5"
    sheet = client.post(query, files={"file": seven}, headers={"Accept": "image/png"}).content
    swept = connection.sweep(seven, dims=[0, 3], minimum=-0.5, maximum=0.5, steps=5)
    assert (swept.dims, swept.deltas) == ((0, 3), (-0.5, -0.25, 0.0, 0.25, 0.5))
    assert [len(row) for row in swept.frames] == [5, 5]
    assert swept.frames[0][2] == swept.reconstruction
    np.testing.assert_array_equal(swept.sheet().pixels(), Png(sheet).pixels())
    assert len(connection.sweep(seven, steps=2).frames) == 16


@pytest.mark.parametrize(
    ("poses", "kind", "words"),
    [
        ([0.0] * 16, TypeError, "pass one pose as"),
        ([[math.nan] * 16], ValueError, "not finite"),
    ],
)
def test_poses_that_json_cannot_hold_are_never_sent(poses: Any, kind: type[Exception], words: str) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(kind, match=words):
        client.decode("7", poses)


def test_decode_draws_the_pose_that_classify_gave(connection: Client, seven: bytes, tmp_path: Path) -> None:
    found, drawn = connection.classify(seven), connection.reconstruct(seven)
    first, second = connection.decode(found.label, [found.pose.tolist(), [0.0] * 16])
    assert first == drawn.reconstruction
    assert second != first
    first.save(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes() == first == first._repr_png_()


def test_models_and_readiness(connection: Client) -> None:
    models = connection.models()
    assert {model.name: model.is_default for model in models} == {"mnist": True, "pair": False}
    assert models[1].classes == ("cat", "2", "dog")
    assert models[0].card["config"]["pose_dim"] == 16
    assert connection.ready()


def test_the_asynchronous_client_says_the_same(server: Server, connection: Client, seven: bytes) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url) as client:
            found, drawn, swept = await asyncio.gather(
                client.classify(seven),
                client.reconstruct(seven, moves={0: 1}),
                client.sweep(seven, dims=[1], steps=3),
            )
            assert found.label == connection.classify(seven).label
            assert drawn.moves == {0: 1.0}
            assert [len(row) for row in swept.frames] == [3]
            assert (await client.decode(found.label, [found.pose]))[0] == drawn.reconstruction
            assert len(await client.models()) == 2
            assert await client.ready()
            with pytest.raises(CapsnetError, match="no model is called 'x'"):
                await client.classify(seven, model="x")

    asyncio.run(ask())


def test_an_error_carries_the_fields_of_the_problem(connection: Client, seven: bytes) -> None:
    with pytest.raises(CapsnetError) as unknown:
        connection.classify(seven, top_k=99)
    error = unknown.value
    assert (error.kind, error.status, error.instance) == ("invalid-parameter", 422, "/classify")
    assert error.title == "Invalid parameter"
    assert error.errors[0]["value"] == "99"
    assert error.detail == str(error)
    assert error.request_id
    with pytest.raises(CapsnetError, match="not an image") as broken:
        connection.classify(b"no image")
    assert broken.value.as_problem()["type"] == "urn:problem-type:capsnet:not-an-image"
    with pytest.raises(CapsnetError, match=r"nowhere\.png: No such file") as missing:
        connection.classify("nowhere.png")
    assert (missing.value.kind, missing.value.status) == ("unreadable-file", None)


def test_the_environment_names_server_and_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSNET_SERVER", server.url)
    with Client() as client:
        assert client.ready()
    with pytest.raises(ValueError, match="should be an address such as http"):
        Client("127.0.0.1:8000")
    with pytest.raises(ValueError, match="API key should hold") as refused:
        Client(api_key="with a blank")
    assert "blank" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_of_the_environment_stands_before_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = server.url.replace("127.0.0.1", host)

    async def ask() -> bool:
        async with AsyncClient(url, retries=0) as client:
            return await client.ready()

    with Client(url, retries=0) as client:
        assert client.ready()
    assert asyncio.run(ask())
    monkeypatch.setenv(
        "SSL_CERT_FILE", "/no/such/file"
    )  # of an authority of one's own, also for this machine
    with pytest.raises(FileNotFoundError):
        Client("https://localhost:1")
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        Client("http://192.0.2.1", retries=0, timeout=5) as client,
        pytest.raises(CapsnetError, match="refused"),
    ):
        client.ready()  # the proxy, which other machines have, refuses


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), 1e10, "5"])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(ValueError, match="it should be a number of seconds above 0, at most 86,400"):
        Client(timeout=timeout)


def test_a_password_in_the_address_is_sent_and_not_shown() -> None:
    with Client("http://user:hidden@127.0.0.1:1", retries=0) as client:
        with pytest.raises(CapsnetError, match=r"http://127\.0\.0\.1:1 cannot be reached") as error:
            client.ready()
        assert "hidden" not in f"{client.server} {error.value}"
