"""Read the processor time that the control groups of this process allow (man 7 cgroups)."""

from collections.abc import Iterator
from pathlib import Path


def quota_cores(root: Path = Path("/")) -> float | None:
    """Return the cores that the smallest quota of this process allows, or None without one.

    The process's own group and all groups above it have quotas, and each of them holds. Version 2 of control groups and
    version 1 are read. Below `root` lie the file systems /proc and /sys.
    """
    quotas = [quota for folder in _groups(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the groups of this process, from its own up.

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
        elif "cpu" in controllers.split(","):
            tops = [mount / controllers, mount / "cpu"]
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
