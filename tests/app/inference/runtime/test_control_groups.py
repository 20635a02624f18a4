"""Quotas and memory limits of control groups, in made-up trees."""

from pathlib import Path

import pytest

from app.inference.runtime import device
from app.inference.runtime.control_groups import memory_limit, quota_cores


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


OWN = "proc/self/cgroup"
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({OWN: "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, None),
        ({OWN: "0::/\n", f"{V2}/cpu.max": "150000 100000\n"}, 1.5),
        ({f"{V2}/cpu.max": "200000 100000\n"}, 2.0),
        (
            {OWN: "0::/a/b\n", f"{V2}/a/b/cpu.max": "400000 100000\n", f"{V2}/a/cpu.max": "100000 100000\n"},
            1.0,
        ),
        ({OWN: "0::/a/b\n", f"{V2}/a/b/cpu.max": "50000 100000\n", f"{V2}/a/cpu.max": "max 100000\n"}, 0.5),
        ({OWN: "0::/of/the/host\n", f"{V2}/cpu.max": "300000 100000\n"}, 3.0),
        ({OWN: "0::/a\n", f"{V2}/b/cpu.max": "100000 100000\n"}, None),
        ({OWN: "0::/a\n", f"{V2}/a/cpu.max": "nonsense"}, None),
        ({OWN: "0::/a\n", f"{V2}/a/cpu.max": "0 0"}, None),
        (
            {
                OWN: "12:memory:/m\n4:cpu,cpuacct:/docker/x\n0::/system\n",
                f"{V1}/docker/x/cpu.cfs_quota_us": "250000\n",
                f"{V1}/docker/x/cpu.cfs_period_us": "100000\n",
                f"{V1}/docker/cpu.cfs_quota_us": "-1\n",
                f"{V1}/docker/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                OWN: "4:cpu:/a/b\n",
                f"{V2}/cpu/a/b/cpu.cfs_quota_us": "-1\n",
                f"{V2}/cpu/a/b/cpu.cfs_period_us": "100000\n",
                f"{V2}/cpu/a/cpu.cfs_quota_us": "100000\n",
                f"{V2}/cpu/a/cpu.cfs_period_us": "50000\n",
            },
            2.0,
        ),
        ({OWN: "4:cpuset:/a\n", f"{V2}/cpuset/a/cpu.cfs_quota_us": "100000\n"}, None),
    ],
)
def test_the_least_quota_of_all_groups_counts(
    tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    assert quota_cores(tree(tmp_path, files)) == cores


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({OWN: "0::/\n", f"{V2}/memory.max": "max\n"}, None),
        ({OWN: "0::/\n", f"{V2}/memory.max": "1073741824\n"}, 1 << 30),
        ({OWN: "0::/a/b\n", f"{V2}/a/b/memory.max": "max\n", f"{V2}/a/memory.max": "512\n"}, 512),
        ({OWN: "4:memory:/a\n3:cpu:/b\n", f"{V2}/memory/a/memory.limit_in_bytes": "4096\n"}, 4096),
        ({OWN: "3:cpu:/a\n", f"{V2}/memory/a/memory.limit_in_bytes": "4096\n"}, None),
    ],
)
def test_the_least_memory_limit_of_all_groups_counts(
    tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(tree(tmp_path, files)) == limit


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.9, 1), (None, 4), (8.0, 4)])
def test_whole_cores_are_used(monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int) -> None:
    monkeypatch.setattr(device, "quota_cores", lambda: quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    assert device.available_cores() == cores
