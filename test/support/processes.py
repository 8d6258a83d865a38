"""Child processes that cannot outlive the tests, and what /proc says about a process."""

import ctypes
import os
import pwd
import re
import signal
import subprocess
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def server_user() -> str | None:
    """The account PostgreSQL runs as: it refuses root, so root's tests use postgres; others run it themselves."""
    return "postgres" if os.geteuid() == 0 else None


def give_to_server_user(path: Path) -> None:
    user = server_user()
    if user:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def spawn(argv, *, as_server_user: bool = False, death_signal: int = signal.SIGKILL, **popen_args) -> subprocess.Popen:
    """Popen whose child gets `death_signal` when the calling thread dies, kill -9 of the tests included.

    Call it from a thread that lives as long as the child may (the main thread, in fixtures). The signal is set after the
    change of user, which would clear it: hence Popen's user= and not runuser.
    """
    parent = os.getpid()

    def die_with_parent():
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)

    user = server_user() if as_server_user else None
    if user:
        popen_args |= {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        popen_args.setdefault("cwd", "/")
    return subprocess.Popen([str(a) for a in argv], preexec_fn=die_with_parent, stdin=subprocess.DEVNULL, **popen_args)


def run_as_server_user(argv, **run_args) -> subprocess.CompletedProcess:
    """subprocess.run with output captured, as the account PostgreSQL runs as; raises with the output on failure."""
    user = server_user()
    if user:
        run_args |= {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        run_args.setdefault("cwd", "/")
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **run_args)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def start_time(pid: int) -> int | None:
    """Clock ticks since boot: with the pid, the identity of a process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def user_memory_bytes(pid: int) -> int:
    """Private memory (RssAnon): what the process itself took, without shared memory and file pages."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024


def peak_memory_bytes(pid: int) -> int:
    """The largest resident size since the start or since reset_peak_memory(); shared pages count too."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def reset_peak_memory(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(process: subprocess.Popen, signum: int = signal.SIGTERM, timeout: float = 20) -> int:
    """Sends the signal and waits; SIGKILL and an error when the process ignores it."""
    if process.poll() is None:
        process.send_signal(signum)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise TimeoutError(f"{process.args[0]} did not end within {timeout} s of {signal.Signals(signum).name}")
    return process.returncode
