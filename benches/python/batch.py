#!/usr/bin/env python3
"""What a batch from Python takes beside the program's, each a process of its own: start, model and all.

    python3 benches/python/batch.py FOLDER target/release/tongkuan [ROUNDS]

In an environment in which the wheel is installed (`.ci/python` makes one, target/python-tests). Each round checks all pictures of FOLDER
into a new home, once by `tongkuan check --add` and once by `Engine.check_many(add=True)`, in turn; printed are the medians, and the time from
the start of Python to the first answer.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST = """
import sys, tongkuan
print(tongkuan.Engine(sys.argv[1]).search(sys.argv[2], mode="local").verdict)
"""
MANY = """
import sys, tongkuan
paths = [line.rstrip("\\n") for line in sys.stdin]
for checked in tongkuan.Engine(sys.argv[1]).check_many(paths, add=True):
    print(checked.outcome)
"""


def timed(command, text=None):
    """Lines of its output, seconds by the clock and of processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        sys.exit(f"{command[0]}: {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout.splitlines(), seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    folder, program = Path(sys.argv[1]), os.path.abspath(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    paths = sorted(str(path.resolve()) for path in folder.iterdir() if path.suffix in (".jpg", ".png", ".webp"))
    text = "".join(f"{path}\n" for path in paths)
    ways = {"program": [], "Python": []}
    first = []
    with tempfile.TemporaryDirectory() as work:
        for number in range(rounds):
            home = f"{work}/{number}"
            lines, *taken = timed([program, "--home", f"{home}-program", "check", "--add", "--json", "-"], text)
            ways["program"].append((len(lines), *taken))
            lines, *taken = timed([sys.executable, "-c", MANY, f"{home}-python"], text)
            ways["Python"].append((len(lines), *taken))
            first.append(timed([sys.executable, "-c", FIRST, f"{home}-python", paths[0]])[1])
    rates = {}
    for way, runs in ways.items():
        assert all(count == len(paths) for count, *_ in runs), (way, runs, len(paths))
        seconds, processor = (statistics.median(run[place] for run in runs) for place in (1, 2))
        rates[way] = len(paths) / seconds
        print(f"{way:8} {rates[way]:8.1f} pictures a second, {1000 * processor / len(paths):6.1f} ms of processor time a picture")
    print(f"Python / program: {rates['Python'] / rates['program']:.3f}; start to first answer {statistics.median(first):.2f} s")


if __name__ == "__main__":
    main()
