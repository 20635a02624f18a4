import gzip
import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from capsnet.config import InputSpec
from capsnet.preprocessing.pipeline import decode_uint8
from training.data.datasets import IMAGES, LABELS, PUBLISHED, DatasetError, DatasetPart, Part, describe, load
from training.data.formats import idx


@pytest.fixture
def folder(tmp_path: Path, digits: DatasetPart) -> Path:
    """A folder with five digits as mnist's test part, gzipped and in a sub-folder as published sets are kept."""
    (tmp_path / "mnist").mkdir()
    write(tmp_path / "mnist" / f"{IMAGES['test']}.gz", digits.images[:5, 0])
    write(tmp_path / "mnist" / f"{LABELS['test']}.gz", digits.labels[:5].astype(np.uint8))
    return tmp_path


def write(path: Path, array: np.ndarray) -> None:
    content = idx.header(array) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def load_five(folder: Path) -> DatasetPart:
    return load("mnist", "test", folder, subset=True)


# ---------------------------------------------------------------------------------------- published data sets


def test_a_part_is_images_and_labels(digits: DatasetPart, folder: Path) -> None:
    five = load_five(folder)
    assert five.images.shape == (5, 1, 28, 28)
    assert five.images.dtype == np.uint8
    assert five.labels.dtype == np.int64
    np.testing.assert_array_equal(five.images, digits.images[:5])
    assert five.labels.tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("where", ["mnist/{}.gz", "mnist/{}", "{}.gz", "{}"])
def test_files_are_found_zipped_or_not_in_either_place(
    where: str, tmp_path: Path, digits: DatasetPart
) -> None:
    (tmp_path / "mnist").mkdir()
    write(tmp_path / where.format(IMAGES["test"]), digits.images[:5, 0])
    write(tmp_path / where.format(LABELS["test"]), digits.labels[:5].astype(np.uint8))
    assert len(load_five(tmp_path).labels) == 5


def test_the_bytes_decide_whether_a_file_is_zipped(folder: Path) -> None:
    path = folder / "mnist" / f"{IMAGES['test']}.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert len(load_five(folder).images) == 5


def test_the_folder_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSNET_DATA", str(folder))
    assert len(load("mnist", "test", subset=True).labels) == 5


def test_training_never_opens_the_test_part(folder: Path, digits: DatasetPart) -> None:
    """The test files here are unreadable, and training data load all the same."""
    write(folder / "mnist" / f"{IMAGES['train']}.gz", digits.images[:9, 0])
    write(folder / "mnist" / f"{LABELS['train']}.gz", digits.labels[:9].astype(np.uint8))
    for file in (IMAGES["test"], LABELS["test"]):
        (folder / "mnist" / f"{file}.gz").write_bytes(b"not to be read")
    assert len(load("mnist", "train", folder, subset=True).labels) == 9


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_files_pass(name: str, data_folder: Path) -> None:
    parts: dict[Part, int] = {"train": 60_000, "test": 10_000}
    for part, count in parts.items():
        split = load(name, part, data_folder)
        assert split.images.shape == (count, 1, 28, 28)
        assert np.bincount(split.labels).shape == (10,)


@pytest.mark.data
def test_another_published_file_is_recognised(data_folder: Path, tmp_path: Path) -> None:
    (tmp_path / f"{IMAGES['test']}.gz").symlink_to(data_folder / "mnist" / f"{IMAGES['train']}.gz")
    with pytest.raises(DatasetError, match=rf"{IMAGES['test']}\.gz: is not .* but mnist's {IMAGES['train']}"):
        load("mnist", "test", tmp_path)
    with pytest.raises(DatasetError, match=r"is not fashion_mnist's .* but mnist's t10k"):
        load("fashion_mnist", "test", data_folder / "mnist")


def test_a_subset_is_refused_unless_asked_for(folder: Path) -> None:
    with pytest.raises(
        DatasetError, match=rf"{IMAGES['test']}\.gz: is not mnist's .* something else, 5 items"
    ):
        load("mnist", "test", folder)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"t10k-images-idx3-ubyte\.gz: no such file") as error:
        load("mnist", "test", tmp_path)
    assert "python -m training download mnist" in str(error.value)


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(
        DatasetError,
        match=r"no data set 'imagenet'; there are mnist, .*multimnist, .*cifar10 and folder:PATH",
    ):
        describe("imagenet")


def test_descriptions() -> None:
    assert describe("mnist").classes == tuple("0123456789")
    assert describe("mnist").input == InputSpec(channels=1, height=28, width=28, preprocess="mnist")
    assert describe("fashion_mnist").classes[0] == "T-shirt/top"
    assert describe("fashion_mnist").classes[9] == "Ankle boot"
    with pytest.raises(DatasetError, match="has an input of its own"):
        describe("mnist", spec=InputSpec(channels=3, height=28, width=28, preprocess="resize"))


# ------------------------------------------------------------------------------------------ damaged IDX files


def damage_swap(images: Path, labels: Path) -> str:
    swapped = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(swapped)
    return f"{images.name}: has 1 dimensions; expected 3 .images"


def damage_count(images: Path, labels: Path) -> str:
    write(labels, np.zeros(4, np.uint8))
    return "5 images but 4 labels"


def damage_size(images: Path, labels: Path) -> str:
    write(images, np.zeros((5, 32, 32), np.uint8))
    return "the images are 32x32; expected 28x28"


def damage_label(images: Path, labels: Path) -> str:
    write(labels, np.array([0, 1, 2, 3, 10], np.uint8))
    return "a label is 10; the highest is 9"


def damage_empty(images: Path, labels: Path) -> str:
    write(images, np.zeros((0, 28, 28), np.uint8))
    write(labels, np.zeros(0, np.uint8))
    return "holds no images"


def damage_gzip_end(images: Path, labels: Path) -> str:
    images.write_bytes(images.read_bytes()[:-20])
    return f"{images.name}: the gzip file is damaged or cut short"


def damage_gzip_middle(images: Path, labels: Path) -> str:
    content = bytearray(images.read_bytes())
    content[len(content) // 2] ^= 0xFF
    images.write_bytes(content)
    return f"{images.name}: the gzip file is damaged or cut short|{images.name}: the header declares"


def damage_folder(images: Path, labels: Path) -> str:
    labels.write_bytes(b"<html>404</html>")
    return f"{labels.name}: is not an IDX file: it begins with 3c68746d"


@pytest.mark.parametrize(
    "damage",
    [
        damage_swap,
        damage_count,
        damage_size,
        damage_label,
        damage_empty,
        damage_gzip_end,
        damage_gzip_middle,
        damage_folder,
    ],
)
def test_wrong_files_are_named(damage: Callable[[Path, Path], str], folder: Path) -> None:
    message = damage(folder / "mnist" / f"{IMAGES['test']}.gz", folder / "mnist" / f"{LABELS['test']}.gz")
    with pytest.raises(DatasetError, match=message):
        load_five(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file: it begins with nothing"),
        (b"\0\0\x0d\x01\0\0\0\x01abcd", "IDX type 0x0d; expected unsigned bytes"),
        (b"\0\0\x08\x01\0\0", "ends within its header"),
        (b"\0\0\x08\x01\0\0\0\x05abcd", r"declares 5 = 5 bytes, but only 4 follow"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", r"declares 3 = 3 bytes, but more follow"),
        (b"\0\0\x08\x01\xff\xff\xff\xff", r"declares 4,294,967,295 bytes; at most"),
    ],
)
def test_a_damaged_idx_file_says_what_is_wrong(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"labels: .*{message}"):
        idx.read(path, 1)


def test_memory_follows_the_file_and_not_its_header(tmp_path: Path) -> None:
    """A process that may take 300 MB more refuses a file that declares 2 GB, for what it is."""
    path = tmp_path / "liar"
    path.write_bytes(struct.pack(">HBBIII", 0, 8, 3, 2_000_000, 32, 32) + b"abc")
    script = (
        "import resource, sys; from pathlib import Path; from training.data.formats import idx\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)\n"
        "try: idx.read(Path(sys.argv[1]), 3)\n"
        "except idx.DatasetError as error: sys.exit(0 if 'only 3 follow' in str(error) else str(error))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, path], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@given(st.binary(max_size=200), st.sampled_from([1, 3]), st.booleans())
@example(b"\0\0\x08\x01" + b"\0\0\0\x02" + b"ab", 1, True)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_array_or_a_data_set_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, dimensions: int, zipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(gzip.compress(content) if zipped else content)
    try:
        array = idx.read(path, dimensions)
    except DatasetError as error:
        refusal = str(error)
        assert refusal.startswith(str(path))
    else:
        assert idx.header(array) + array.tobytes() == content


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_gzip_file_is_an_array_or_a_data_set_error(
    tmp_path_factory: pytest.TempPathFactory, sample_folder: Path, data: st.DataObject
) -> None:
    content = bytearray((sample_folder / "mnist" / f"{LABELS['test']}.gz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        array = idx.read(path, 1)
    except DatasetError as error:
        refusal = str(error)
        assert refusal.startswith(str(path))
    else:
        assert array.dtype == np.uint8


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(idx.parse(io.BytesIO(idx.header(array) + array.tobytes()), 3), array)


# --------------------------------------------------------------------------------------- a folder of images


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes, `cat` and `dog`, with two images each of different kinds, and files that are no data."""
    random = np.random.default_rng(1)
    for name, kind in [
        ("dog/b.png", "PNG"),
        ("dog/a.jpg", "JPEG"),
        ("cat/1.webp", "WEBP"),
        ("cat/0.bmp", "BMP"),
    ]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3)).astype(np.uint8)).save(tmp_path / name, kind)
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"no image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.txt").write_text("no class")
    return tmp_path


def test_a_folder_is_read_as_its_images_will_be_served(image_folder: Path) -> None:
    spec = InputSpec(channels=3, height=32, width=24, preprocess="resize")
    name = f"folder:{image_folder}"
    info = describe(name, spec=spec)
    assert (info.classes, info.input) == (("cat", "dog"), spec)
    for part in ("train", "test"):
        split = load(name, part, spec=spec)
        assert split.images.shape == (4, 3, 32, 24)
        found = {
            (int(label), image.tobytes()) for label, image in zip(split.labels, split.images, strict=True)
        }
        files = ("cat/0.bmp", "cat/1.webp", "dog/a.jpg", "dog/b.png")
        assert found == {
            (int(file.startswith("dog")), decode_uint8((image_folder / file).read_bytes(), spec).tobytes())
            for file in files
        }


def test_the_first_images_of_a_folder_are_of_all_classes(tmp_path: Path) -> None:
    """Statistics and ranges are taken from them. Always the same ones, or a run could not be resumed."""
    for number in range(60):
        file = tmp_path / "abc"[number // 20] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (28, 28), number).save(file)
    first, again = (load(f"folder:{tmp_path}", "train") for _ in range(2))
    assert np.bincount(first.labels[:20], minlength=3).min() >= 3
    assert first.fingerprint() == again.fingerprint()


def test_a_folder_is_28x28_grey_unless_told(image_folder: Path) -> None:
    assert load(f"folder:{image_folder}", "train").images.shape == (4, 1, 28, 28)


def test_an_unreadable_image_is_named(image_folder: Path) -> None:
    (image_folder / "dog" / "c.png").write_bytes((image_folder / "dog" / "b.png").read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"dog/c\.png: the PNG file is damaged or cut short"):
        load(f"folder:{image_folder}", "train")
    (image_folder / "dog" / "c.png").write_text("notes")
    with pytest.raises(DatasetError, match=r"dog/c\.png: not an image of an allowed format"):
        load(f"folder:{image_folder}", "train")


def test_folders_that_are_no_data_set_are_refused(image_folder: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        describe(f"folder:{image_folder / 'nowhere'}")
    with pytest.raises(DatasetError, match="dog: has 0 sub-folders; expected at least two"):
        describe(f"folder:{image_folder / 'dog'}")
    (image_folder / "emu").mkdir()
    with pytest.raises(DatasetError, match="emu: holds no images"):
        load(f"folder:{image_folder}", "train")
