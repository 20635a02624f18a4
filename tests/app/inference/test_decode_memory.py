"""The memory in which images are decoded: what formats take, and one budget for all that decode."""

import contextlib
import fcntl
import gc
import io
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app.errors import ContentTooLarge, QueueFull
from app.inference.decode_memory import MOST_BYTES_WITHOUT_WAITING, UNCOUNTED_BYTES, DecodeMemory
from app.server.shared_memory import shared_numbers
from benchmarks.load.servers import processes_of
from capsnet.preprocessing import image_file
from capsnet.preprocessing.image_file import ImageTooLarge
from tests.app.server_process import assert_problem, serving

SIDE = 3000  # pixels
FORMATS = [
    ("PNG", "L"), ("PNG", "I;16"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGBA"),
    ("JPEG", "RGB"), ("progressive JPEG", "L"), ("progressive JPEG", "RGB"), ("progressive JPEG", "CMYK"),
    ("WebP", "RGB"), ("WebP", "RGBA"), ("BMP", "L"), ("BMP", "RGB"), ("GIF", "P"), ("narrow PNG", "L"),
]  # fmt: skip


def blank_image(kind: str, mode: str, side: int) -> bytes:
    """A blank image: few bytes, however many pixels; a narrow one is a pixel wide."""
    size = (1, side * side) if kind == "narrow PNG" else (side, side)
    image = Image.new("RGB", size).convert(mode) if mode == "P" else Image.new(mode, size)
    file = io.BytesIO()
    if kind == "progressive JPEG":
        image.save(file, "JPEG", progressive=True, subsampling=0)
    else:
        image.save(file, kind.split()[-1])
    return file.getvalue()


def measure() -> None:
    """Print for each format what it claims and what it takes, in bytes; run in a process of its own."""
    image_file.read(blank_image("WebP", "RGB", 64), enough=56, grey=False)  # which loads things once
    for kind, mode in FORMATS:
        data, claims = blank_image(kind, mode, SIDE), [0]
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what there is now
        before = memory_now("VmRSS")
        image_file.read(data, enough=480, grey=True, claim=claims.append)
        print(kind.replace(" ", "-"), mode, claims[-1], memory_now("VmHWM") - before)


def memory_now(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc")
def test_a_decoding_takes_at_most_what_it_claims() -> None:
    """And not much less, or images would be refused for nothing."""
    command = [sys.executable, "-c", f"from {__name__} import measure; measure()"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == len(FORMATS)
    for *name, claimed, taken in lines:
        assert int(taken) < int(claimed) + 4_000_000, name
        if name[0] in ("WebP", "narrow-PNG"):  # for others the C library may have the memory already
            assert int(claimed) < 2 * int(taken), name


def test_a_jpeg_of_one_component_a_scan_is_kept_whole_like_a_progressive_one() -> None:
    claims: list[int] = []
    data = blank_image("progressive JPEG", "RGB", 800)
    for each in (blank_image("JPEG", "RGB", 800), data):
        image_file.read(each, enough=56, grey=True, claim=claims.append)
    assert claims[1] - claims[0] == 2 * 3 * 800 * 800


def test_what_is_small_claims_nothing_and_what_is_large_goes_to_the_thread_that_waits() -> None:
    memory = DecodeMemory(400_000_000, 0.0)
    with memory.claim(may_wait=False) as claim:
        claim(UNCOUNTED_BYTES)
        assert memory.used == 0
        claim(MOST_BYTES_WITHOUT_WAITING)
        assert memory.used == MOST_BYTES_WITHOUT_WAITING
        claim(UNCOUNTED_BYTES + 1)  # the second decoding of one image, when the first one is over
        assert memory.used == MOST_BYTES_WITHOUT_WAITING
        with pytest.raises(ImageTooLarge):
            claim(MOST_BYTES_WITHOUT_WAITING + 1)
    assert memory.used == 0


def test_what_never_fits_is_too_large_and_what_does_not_fit_now_is_told_to_come_again() -> None:
    memory = DecodeMemory(100_000_000, 0.2)
    with memory.claim(may_wait=True) as first, memory.claim(may_wait=True) as second:
        with pytest.raises(
            ContentTooLarge, match=r"takes 100,000,001 bytes of memory.*CAPSNET_DECODE_MEMORY"
        ):
            first(100_000_001)
        first(60_000_000)
        started = time.monotonic()
        with pytest.raises(QueueFull, match="send this one again"):
            second(60_000_000)
        assert time.monotonic() - started >= 0.2
    assert memory.used == 0


def test_one_waits_for_another_to_end() -> None:
    memory = DecodeMemory(100_000_000, 10.0)
    with memory.claim(may_wait=True) as second:
        with memory.claim(may_wait=True) as first:
            first(60_000_000)
            waiting = threading.Thread(target=second, args=(60_000_000,))
            waiting.start()
            time.sleep(0.1)
            assert waiting.is_alive()
        waiting.join(5)
        assert memory.used == 60_000_000


def test_workers_count_together_and_one_that_dies_takes_its_lock_with_it() -> None:
    file = shared_numbers("test", [0, 0])
    one, other = DecodeMemory(100_000_000, 0.0), DecodeMemory(100_000_000, 0.0)
    one.share(file, 0)
    other.share(file, 1)
    child = os.fork()
    if child == 0:
        fcntl.lockf(file, fcntl.LOCK_EX)
        os._exit(0)
    os.waitpid(child, 0)
    with one.claim(may_wait=True) as claim, other.claim(may_wait=True) as claim_of_other:
        claim(60_000_000)
        assert other.used == 60_000_000
        with pytest.raises(QueueFull):
            claim_of_other(60_000_000)
    with other.claim(may_wait=True) as claim_of_other:
        claim_of_other(60_000_000)
    assert one.used == other.used == 0
    os.close(file)


def test_a_service_decodes_within_its_budget(tiny_models: Path, tmp_path: Path) -> None:
    """Images of a hundred bytes and 25 megapixels each, several at a time, and one that never fits."""
    budget = 450_000_000
    heavy, hopeless = blank_image("WebP", "RGB", 5000), blank_image("WebP", "RGB", 6000)
    assert len(heavy) < 50_000
    with serving(tmp_path / "log", models=tiny_models, decode_memory=budget) as running:

        def ask(data: bytes) -> httpx.Response:
            return httpx.post(f"{running.url}/classify?preprocess=resize", files={"file": data}, timeout=60)

        before = running.memory()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, [heavy, hopeless] * 3))
        assert {answer.status_code for answer in answers[::2]} <= {200, 503}
        assert answers[0].status_code == 200
        for answer in answers[1::2]:
            assert_problem(answer, 413, "bytes of memory", "CAPSNET_DECODE_MEMORY", "JPEG or PNG")
        assert 1024 * running.resident("VmHWM") - before < budget + 100_000_000


def _six_at_once(tiny_models: Path, folder: Path, data: bytes) -> tuple[list[int], float]:
    """Statuses and largest memory of two workers, megabytes, while six clients send an image at once."""
    with serving(folder / "log", models=tiny_models, workers=2) as running:
        peak, done = [0], threading.Event()

        def watch() -> None:
            while not done.wait(0.01):
                peak.append(memory_of_all(running.process.pid))

        watching = threading.Thread(target=watch)
        watching.start()
        url = f"{running.url}/classify?preprocess=resize"
        with ThreadPoolExecutor(6) as pool:
            asked = pool.map(
                lambda _: httpx.post(url, files={"file": data}, timeout=60).status_code, range(6)
            )
            statuses = list(asked)
        done.set()
        watching.join()
        assert httpx.post(url, files={"file": blank_image("PNG", "L", 28)}, timeout=60).status_code == 200
    return statuses, max(peak) / 2**20


def memory_of_all(first: int) -> int:
    """The proportional memory of a process and its workers, bytes: what they share is counted once."""
    total = 0
    for pid in processes_of(first):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("kind", "mode", "side", "decoded"),
    [("WebP", "RGB", 5500, True), ("WebP", "RGB", 7000, False), ("narrow PNG", "L", 6500, True)],
)
def test_six_heavy_images_at_once_to_two_workers_stay_within_the_container(
    kind: str, mode: str, side: int, decoded: bool, tiny_models: Path, tmp_path: Path
) -> None:
    """By the default settings, and the least memory that the compose file gives a container: 1 GB."""
    statuses, peak = _six_at_once(tiny_models, tmp_path, blank_image(kind, mode, side))
    assert set(statuses) <= ({200, 503} if decoded else {413})
    assert not decoded or 200 in statuses
    assert peak < 900
    print(f"{kind} {side}: {peak:.0f} MB, {sorted(set(statuses))}")
