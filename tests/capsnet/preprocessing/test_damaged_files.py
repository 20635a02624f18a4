"""Files that mean harm: an image or a refusal, soon, and in little memory."""

import io
import random
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.preprocessing.damaged_files import declared, long_text, many_scans, mutated, whole_files
from benchmarks.preprocessing.fuzz import SPECS, examine
from capsnet.config import InputSpec
from capsnet.preprocessing.pipeline import ImageTooLarge, NotAnImage, decode

ROOT = Path(__file__).resolve().parents[3]
WHOLE = whole_files()
MNIST = InputSpec(channels=1, height=28, width=28, preprocess="mnist")

# Reads a file and prints by how many MiB the process grew at its highest.
PROGRAM = """
import sys
from pathlib import Path
from capsnet.card import InputSpec
from capsnet.preprocessing.pipeline import ImageTooLarge, NotAnImage, decode
spec = InputSpec(channels=1, height=28, width=28, preprocess="mnist")
def memory(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))
data = sys.stdin.buffer.read()
Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what there is now, and not at that of the parent
before = memory("VmRSS")
try:
    decode(data, spec)
except (NotAnImage, ImageTooLarge):
    pass
print((memory("VmHWM") - before) // 1024)
"""


def memory_of(data: bytes) -> int:
    """MiB that reading a file takes."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, input=data, capture_output=True, check=True
    )
    return int(result.stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc")
def test_the_memory_of_a_large_image_is_noticed() -> None:
    """A child begins with the peak of its parent, which hid all that these tests look for."""
    file = io.BytesIO()
    Image.new("RGB", (6500, 6500)).save(file, "PNG")
    assert memory_of(file.getvalue()) > 100


def test_a_long_run_of_ff_is_soon_refused() -> None:
    """A search that began again at each of them took minutes for this, and nothing else ran meanwhile."""
    start = time.monotonic()
    with pytest.raises(NotAnImage):
        decode(b"\xff\xd8\xff" + b"\xff" * 200_000, MNIST)
    assert time.monotonic() - start < 10


def test_a_png_without_its_palette_is_refused() -> None:
    """Pillow takes it, and fails where its transparency is asked for."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 30, 8, 3, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(30 * 31)))
    with pytest.raises(NotAnImage, match="it has no palette"):
        decode(b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b""), MNIST)


def test_run_lengths_of_a_bmp_are_read_in_bounds() -> None:
    """Pillow decodes them in Python, so that a kilobyte can be seconds of work."""
    assert decode(run_length_bmp(100, 80), MNIST).shape == (1, 28, 28)
    with pytest.raises(ImageTooLarge, match="at most 1,000,000 are allowed in a BMP file of run lengths"):
        decode(run_length_bmp(3_000_000, 1), MNIST)


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP file of run lengths with one light line on black."""
    line = b"\x10\xff\x00\x00" * height + b"\x00\x01"
    palette = bytes(level for grey in range(256) for level in (grey, grey, grey, 0))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(line), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(line), 0, 0, start) + header + palette + line


@pytest.mark.parametrize("name", WHOLE)
@given(seed=st.integers(0, 2**32 - 1), spec=st.sampled_from(SPECS))
@settings(max_examples=60, deadline=None)
def test_a_harmed_file_is_an_array_or_refused(name: str, seed: int, spec: InputSpec) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged EXIF data
        problem, _ = examine(mutated(WHOLE[name], np.random.default_rng(seed)), spec, spec.preprocess)
    assert not problem


@pytest.mark.parametrize("name", WHOLE)
def test_the_sound_files_are_read(name: str) -> None:
    assert decode(WHOLE[name], MNIST).shape == (1, 28, 28)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    with pytest.raises(NotAnImage, match="comes in more than 32 scans"):
        decode(many_scans(64, 60), MNIST)
    assert decode(many_scans(64, 5), MNIST).shape == (1, 28, 28)


def test_a_png_of_very_many_chunks_is_refused() -> None:
    """Pillow takes microseconds for each, and twelve bytes are enough for one."""
    sound = WHOLE["PNG"]
    place = sound.index(b"IDAT") - 4
    empty = b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4)
    started = time.monotonic()
    with pytest.raises(NotAnImage, match="comes in more than 50000 chunks"):
        decode(sound[:place] + empty * 1_000_000 + sound[place:], MNIST)
    assert time.monotonic() - started < 2
    few = sound[:place] + empty * 1_000 + sound[place:]
    assert np.array_equal(decode(few, MNIST), decode(sound, MNIST))


def test_bytes_behind_the_end_of_a_jpeg_are_no_scans() -> None:
    """Cameras append films to their images, in which any two bytes may stand."""
    sound = WHOLE["JPEG"]
    film = b"\xff\xda" * 1000
    assert np.array_equal(decode(sound + film, MNIST), decode(sound, MNIST))


def test_scans_are_counted_behind_what_is_no_marker() -> None:
    many = many_scans(64, 60)
    first = many.index(b"\xff\xda")
    with pytest.raises(NotAnImage, match="comes in more than 32 scans"):
        decode(many[:first] + b"\xff\x02\xff\xbf" + many[first:], MNIST)


def test_a_jpeg_of_markers_alone_is_soon_refused() -> None:
    started = time.monotonic()
    with pytest.raises(NotAnImage, match="damaged or has more than 10000 parts"):
        decode(b"\xff\xd8" + b"\xff\xe0\0\2" * 2_000_000, MNIST)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("name", ["PNG", "palette PNG", "16-bit PNG", "1-bit PNG"])
def test_a_png_with_one_bit_of_its_pixels_flipped_is_refused(name: str) -> None:
    """Pillow takes it, with other pixels: the answer would be the class of an image that no client sent."""
    whole = WHOLE[name]
    start = whole.index(b"IDAT") + 4
    end = start + int.from_bytes(whole[start - 8 : start - 4])
    for at in range(start, end + 4):  # the check sum's own bits among them
        harmed = bytearray(whole)
        harmed[at] ^= 1 << at % 8
        with pytest.raises(NotAnImage, match="PNG file is damaged"):
            decode(bytes(harmed), MNIST)


@pytest.mark.parametrize(
    "size", [(2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (0, 0), (100_000, 501), (1, 50_000_001)]
)
def test_an_absurd_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises((ImageTooLarge, NotAnImage)):
        decode(declared(*size), MNIST)


def test_a_size_without_its_pixels_is_refused_in_the_memory_of_one_image() -> None:
    data = declared(7000, 7000)
    with pytest.raises(NotAnImage):
        decode(data, MNIST)
    assert memory_of(data) < 3 * 49


def test_a_large_colour_profile_changes_nothing() -> None:
    image, file = Image.linear_gradient("L").resize((40, 40)), io.BytesIO()
    image.save(file, "PNG")
    plain, profile = file.getvalue(), random.Random(1).randbytes(2_000_000)
    with_profile = io.BytesIO()
    image.save(with_profile, "PNG", icc_profile=profile)
    assert len(with_profile.getvalue()) > len(profile)
    assert (decode(with_profile.getvalue(), MNIST) == decode(plain, MNIST)).all()


def test_a_comment_that_unpacks_to_much_is_refused_in_little_memory() -> None:
    data = long_text(200_000_000)
    begin = time.process_time()
    with pytest.raises(NotAnImage):
        decode(data, MNIST)
    assert time.process_time() - begin < 1
    assert memory_of(data) < 60
