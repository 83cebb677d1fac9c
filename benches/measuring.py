"""What the Python benches share: running a program, what it took, facts of the machine, tables and bounds."""

import contextlib
import fcntl
import hashlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Seconds between two looks at the memory of a process.
MEMORY_INTERVAL_S = 0.01


@dataclass
class Run:
    code: int
    out: str
    errors: str
    seconds: float
    cpu: float
    peak: int
    """Most bytes resident (VmHWM), pages of mapped files among them."""
    own: int
    """Most bytes of its own (RssAnon): what the system cannot take back by dropping pages of files."""


def environment(folder, threads=None):
    """Without the settings of the user who runs this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TONGKUAN_") or name == "TONGKUAN_RUNTIME_DIR"}
    config = Path(folder) / "empty.toml"
    config.write_text("")
    threads = {"RAYON_NUM_THREADS": str(threads)} if threads else {}
    return {**kept, "TONGKUAN_CONFIG": str(config), **threads}


def _watch_memory(pid, seen, done):
    # ru_maxrss of a child begins with what its parent held when it forked, so it is read of the process itself.
    while not done.wait(MEMORY_INTERVAL_S):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in ("VmHWM", "RssAnon"):
                    seen[name] = max(seen[name], int(value.split()[0]) * 1024)


def run(command, env=None, stdin="", write=None, allowed=(0, 1)):
    """Runs a command to its end. `write(pipe)` feeds its standard input in the place of `stdin`."""
    command = [str(part) for part in command]
    seen, done = {"VmHWM": 0, "RssAnon": 0}, threading.Event()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=errors, env=env)
        with contextlib.suppress(OSError, AttributeError):
            # As large as may be, so that writer and reader seldom wait for one another.
            fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, 1 << 20)
        watch = threading.Thread(target=_watch_memory, args=(process.pid, seen, done))
        watch.start()
        with contextlib.suppress(BrokenPipeError):
            if write:
                write(process.stdin)
            else:
                process.stdin.write(stdin.encode())
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        done.set()
        watch.join()
        out.seek(0)
        errors.seek(0)
        result = Run(
            process.returncode, out.read().decode(), errors.read().decode(errors="replace"), seconds,
            usage.ru_utime + usage.ru_stime, seen["VmHWM"], seen["RssAnon"])
    if allowed is not None and result.code not in allowed:
        sys.exit(f"{' '.join(command)}: {result.code}\n{result.errors[-2000:]}")
    return result


def facts(binary, threads=None):
    """One line: on what, and of which program, the figures are."""
    model = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    told = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=7"], capture_output=True, text=True, check=False)
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    digest = hashlib.sha256(Path(binary).read_bytes()).hexdigest()[:12]
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{model}, {os.cpu_count()} cores, {threads or os.cpu_count()} threads, {memory / 1e6:.0f} GB of memory; load {load}; "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; checkout {told.stdout.strip() or 'unknown'}; {version} (SHA-256 {digest})"
    )


def _lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def load():
    return f"load at the end {os.getloadavg()[0]:.1f}"


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def median(runs, what):
    return statistics.median(getattr(run, what) for run in runs)


def share(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def upper_bound(found, asked, certainty=0.95):
    """The share that is not exceeded, with this certainty, where `found` of `asked` were found (Clopper and Pearson, one-sided)."""
    if found >= asked:
        return 1.0
    whole = math.lgamma(asked + 1)
    ways = [whole - math.lgamma(k + 1) - math.lgamma(asked - k + 1) for k in range(found + 1)]
    low, high = found / asked, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        chance = sum(math.exp(way + k * math.log(middle) + (asked - k) * math.log1p(-middle)) for k, way in enumerate(ways))
        low, high = (middle, high) if chance > 1 - certainty else (low, middle)
    return high


def bytes_below(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
