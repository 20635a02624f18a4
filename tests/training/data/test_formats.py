"""smallNORB and CIFAR-10 in their published formats: small files of the same make, whole and broken in every way."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.datasets import DatasetError, Part, describe, load
from training.data.formats import cifar10, smallnorb

MAGIC = {"u1": 0x1E3D4C55, "<i4": 0x1E3D4C54}
TOYS = {"train": 4, "test": 0}


def matrix(array: np.ndarray) -> bytes:
    """A file of smallNORB's format."""
    sizes = (*array.shape, 1, 1)[: max(3, array.ndim)]
    kind = "u1" if array.dtype == np.uint8 else "<i4"
    return struct.pack(f"<II{len(sizes)}I", MAGIC[kind], array.ndim, *sizes) + array.astype(kind).tobytes()


def write_norb(folder: Path, part: Part, *, toy: int | None = None, zipped: bool = False) -> dict[str, Path]:
    """Five pairs of images, one of each class; the files by kind."""
    random = np.random.default_rng(0)
    info = np.zeros((5, 4), np.int32)
    info[:, 0] = TOYS[part] if toy is None else toy
    arrays: dict[str, np.ndarray] = {
        "dat": random.integers(0, 256, (5, 2, 96, 96), dtype=np.uint8),
        "cat": np.arange(5, dtype=np.int32),
        "info": info,
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for kind, array in arrays.items():
        content = matrix(array)
        paths[kind] = folder / (smallnorb.NAMES[part].format(kind) + (".gz" if zipped else ""))
        paths[kind].write_bytes(gzip.compress(content) if zipped else content)
    return paths


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("zipped", [False, True])
def test_smallnorb_is_two_halved_images_a_toy(part: Part, zipped: bool, tmp_path: Path) -> None:
    path = write_norb(tmp_path / "smallnorb", part, zipped=zipped)["dat"]
    found = load("smallnorb", part, tmp_path, subset=True)
    assert found.images.shape == (
        5,
        *(getattr(describe("smallnorb").input, n) for n in ("channels", "height", "width")),
    )
    assert found.labels.tolist() == [0, 1, 2, 3, 4]
    content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    original = np.frombuffer(content[24:], np.uint8).reshape(5, 2, 96, 96)
    four = original[3, 1, 10:12, 20:22].astype(int).sum()
    assert found.images[3, 1, 5, 10] == (four + 2) // 4


def test_smallnorb_must_be_whole_unless_a_part_is_asked_for(tmp_path: Path) -> None:
    write_norb(tmp_path, "test")
    with pytest.raises(DatasetError, match=r"dat.mat: 5 images; 24,300 were published"):
        load("smallnorb", "test", tmp_path)


def break_norb(how: str, paths: dict[str, Path]) -> None:
    dat, cat, info = (paths[kind] for kind in ("dat", "cat", "info"))
    content = dat.read_bytes()
    if how == "swapped":
        dat.write_bytes(cat.read_bytes())
    elif how == "labels and info swapped":
        cat.write_bytes(info.read_bytes())
    elif how == "another size":
        dat.write_bytes(matrix(np.zeros((5, 2, 108, 108), np.uint8)))
    elif how == "fewer labels":
        cat.write_bytes(matrix(np.arange(4, dtype=np.int32)))
    elif how == "a label too high":
        cat.write_bytes(matrix(np.arange(1, 6, dtype=np.int32)))
    else:
        broken = {
            "cut short": content[:-1],
            "too long": content + b"\0",
            "header": content[:13],
            "no matrix": b"\0\0\x08\x03" + content[4:],
            "empty": b"",
            "bad gzip": b"\x1f\x8b" + content,
        }
        dat.write_bytes(broken[how])


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("swapped", "dat", "holds integers; expected bytes: perhaps it is another of the three files"),
        ("labels and info swapped", "cat", "has 2 dimensions; expected 1"),
        ("another size", "dat", r"holds items of \(2, 108, 108\); expected \(2, 96, 96\)"),
        ("cut short", "dat", "5 x 2 x 96 x 96 = 92,160 bytes, but only 92,159 follow"),
        ("too long", "dat", "but more follow"),
        ("header", "dat", "ends within its header"),
        ("no matrix", "dat", "is not a matrix of smallNORB: it begins with 00000803"),
        ("empty", "dat", "begins with nothing"),
        ("bad gzip", "dat", "gzip file is damaged"),
        ("fewer labels", "cat", "4 entries for the 5 images"),
        ("a label too high", "cat", "its labels reach from 1 to 5, not 0 to 4"),
    ],
)
def test_a_wrong_file_of_smallnorb_is_named(how: str, kind: str, words: str, tmp_path: Path) -> None:
    paths = write_norb(tmp_path, "train")
    break_norb(how, paths)
    with pytest.raises(DatasetError, match=words) as caught:
        load("smallnorb", "train", tmp_path, subset=True)
    assert str(paths[kind]) in str(caught.value)


def test_the_toys_tell_the_parts_of_smallnorb_apart(tmp_path: Path) -> None:
    write_norb(tmp_path, "train", toy=3)
    with pytest.raises(DatasetError, match="shows toy 3; the toys of the train part are 4, 6, 7, 8, 9"):
        load("smallnorb", "train", tmp_path, subset=True)
    with pytest.raises(DatasetError, match=r"testing-dat.mat.gz: no such file"):
        load("smallnorb", "test", tmp_path, subset=True)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_are_read_as_a_matrix_that_are_none(content: bytes) -> None:
    header = matrix(np.zeros((0,), np.int32))[:8]
    for stream in (io.BytesIO(content), io.BytesIO(header + content)):
        try:
            found = smallnorb.parse(stream, dtype="<i4", tail=())
        except DatasetError:
            continue
        assert found.ndim == 1


def write_cifar(folder: Path, part: Part, count: int = 3) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    paths = [folder / file for file in cifar10.FILES[part]]
    for path in paths:
        records = random.integers(0, 256, (count, cifar10.RECORD), dtype=np.uint8)
        records[:, 0] = random.integers(0, 10, count)
        path.write_bytes(records.tobytes())
    return paths


@pytest.mark.parametrize("folder", ["cifar10", "cifar-10-batches-bin", "."])
def test_cifar_is_colour_images_of_all_batches(folder: str, tmp_path: Path) -> None:
    paths = write_cifar(tmp_path / folder, "train")
    found = load("cifar10", "train", tmp_path, subset=True)
    assert found.images.shape == (15, 3, 32, 32)
    record = paths[1].read_bytes()[cifar10.RECORD : 2 * cifar10.RECORD]  # the second of the second file
    assert found.labels[4] == record[0]
    assert found.images[4, 2, 5, 7] == record[1 + 2 * 1024 + 5 * 32 + 7]  # blue, sixth row, eighth pixel


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:-1], "holds 9,218 bytes; a file of CIFAR-10 has 10,000 records of 3,073 bytes"),
        (lambda content: b"", "holds 0 bytes"),
        (lambda content: content + bytes([10]) + bytes(3072), "record 3 has the label 10; the highest is 9"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_cifar_is_named(change: object, words: str, tmp_path: Path) -> None:
    (path,) = write_cifar(tmp_path, "test")
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DatasetError, match=words) as caught:
        load("cifar10", "test", tmp_path, subset=True)
    assert str(path) in str(caught.value)


def test_cifar_must_be_whole_and_each_batch_its_own(tmp_path: Path) -> None:
    paths = write_cifar(tmp_path, "train")
    with pytest.raises(DatasetError, match=r"data_batch_1.bin: holds 9,219 bytes"):
        load("cifar10", "train", tmp_path)
    paths[3].write_bytes(paths[0].read_bytes())
    with pytest.raises(DatasetError, match=r"data_batch_4.bin: holds the same images as data_batch_1.bin"):
        load("cifar10", "train", tmp_path, subset=True)
    with pytest.raises(DatasetError, match=r"test_batch.bin: no such file"):
        load("cifar10", "test", tmp_path, subset=True)
