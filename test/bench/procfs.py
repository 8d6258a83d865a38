"""What the kernel says about processes: CPU time and memory of a whole tree, who owns a connection, what else the
machine did.

All figures are of user-visible processes below one root pid, which must stay in the foreground; reading them needs
the same account or root.
"""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _stat_fields(path: Path) -> list[str]:
    """The fields of a stat file from the third on: the second, the name, may hold spaces and parentheses."""
    return path.read_text().rsplit(")", 1)[1].split()


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat_fields(entry / "stat")[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


class CpuSample:
    """CPU time of every thread below a root at one moment, in nanoseconds, user and system together.

    From schedstat, which counts nanoseconds; from stat, in ticks, where the kernel has no schedstat.
    """

    def __init__(self, root: int):
        self.threads: dict[tuple[int, int], int] = {}
        for pid in tree(root):
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    stat = _stat_fields(task / "stat")
                    schedstat = task / "schedstat"
                    if schedstat.exists():
                        spent = int(schedstat.read_text().split()[0])
                    else:
                        spent = (int(stat[11]) + int(stat[12])) * 1_000_000_000 // _TICKS_PER_SECOND
                    self.threads[int(task.name), int(stat[19])] = spent  # a number may be used again: start time too
            except (FileNotFoundError, ProcessLookupError):
                pass

    def since(self, earlier: "CpuSample") -> tuple[float, int]:
        """Microseconds spent since an earlier sample of the same root, and how many threads of then are gone.

        What a thread spent before it ended is not in the figure: with any gone, it is too low.
        """
        spent = sum(now - earlier.threads.get(thread, 0) for thread, now in self.threads.items())
        return spent / 1000, len(earlier.threads.keys() - self.threads.keys())


def memory_bytes(root: int) -> dict[str, int]:
    """Proportional set size of the tree in bytes: 'total', and of it 'anonymous' and 'shared' memory.

    Pages shared by several processes of the tree count once: copies after fork and a shared segment are not counted
    per worker.
    """
    names = {"Pss": "total", "Pss_Anon": "anonymous", "Pss_Shmem": "shared"}
    sums = dict.fromkeys(names.values(), 0)
    for pid in tree(root):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, value = line.split(":")
                if name in names:
                    sums[names[name]] += int(value.split()[0]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            pass
    return sums


def connection_owners(root: int, port: int) -> dict[int, int]:
    """Which process of the tree holds the accepted end of a connection to 127.0.0.1:port: the client's port → pid."""
    inode_port = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port:
            inode_port[fields[9]] = int(fields[2].split(":")[1], 16)
    owners = {}
    for pid in tree(root):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inode_port:
                owners[inode_port[target[8:-1]]] = pid
    return owners


class MachineSample:
    """Processor time of the machine and of one tree at one moment, in ticks, to tell how much of an interval went to
    others.
    """

    def __init__(self, root: int):
        fields = [int(f) for f in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        user, nice, system, idle, iowait, irq, softirq, steal = fields
        self._total = sum(fields)
        self._spent = user + nice + system + irq + softirq + steal
        self._own = _ticks_with_ended(root)

    def foreign_share(self, earlier: "MachineSample") -> float:
        """The share, 0 to 1, of all processor time since then that was stolen or spent outside the tree."""
        total = self._total - earlier._total
        foreign = (self._spent - earlier._spent) - (self._own - earlier._own)
        return max(0.0, foreign / total) if total else 0.0


def _ticks_with_ended(root: int) -> int:
    """Of the tree's processes and of those of their children that ended and were waited for."""
    ticks = 0
    for pid in tree(root):
        try:
            ticks += sum(int(field) for field in _stat_fields(Path(f"/proc/{pid}/stat"))[11:15])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks
