"""Read the processor time and the memory that the control groups of this process allow (man 7 cgroups)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


def quota_cores(root: Path = Path("/")) -> float | None:
    """Return the cores that the smallest quota of this process allows, or None without one.

    The process's own group and all groups above it have quotas, and each of them holds. Version 2 of control groups and
    version 1 are read. Below `root` lie the file systems /proc and /sys.
    """
    quotas = [quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes that the smallest memory limit of this process allows, or None without one."""
    limits = [limit for folder in _groups(root, "memory") if (limit := _memory_limit(folder)) is not None]
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the groups of this process that may bound `cpu` or `memory`, from its own up.

    In a container the path may be that of the host, which is missing there; the container's own group is then the top.
    """
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            tops = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            tops = [mount / controllers, mount / controller]
        else:
            continue
        for top in tops:
            own = top / path.lstrip("/")
            yield from (own, *(parent for parent in own.parents if parent.is_relative_to(top)))


def _quota(folder: Path) -> float | None:
    """Return the quota of one group in cores, or None where it has none."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdigit() and period.isdigit() and int(quota) and int(period)):  # "max", or -1 in version 1
        return None
    return int(quota) / int(period)


def _memory_limit(folder: Path) -> int | None:
    """Return the memory limit of one group in bytes, or None where it has none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with contextlib.suppress(
            OSError, ValueError
        ):  # "max" in version 2; a number that is never reached in version 1
            return int((folder / name).read_text())
    return None
