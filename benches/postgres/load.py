#!/usr/bin/env python3
"""Several workers on one home in PostgreSQL check and add pictures at once; one worker on SQLite does the same work before them.

    cargo build --release
    .ci/postgres python3 benches/postgres/load.py FOLDER --binary target/release/tongkuan --pictures 1000 --workers 4

Needs only Python. Without `.ci/postgres`, `--server ADDRESS` names a server; a schema of its own is made there and is left. The
pictures are 40 % originals out of FOLDER and 60 % repeats: the same bytes once more, and edits as `tongkuan eval --make` makes
them. All are shuffled and dealt to the workers, so copies meet in different ones. Each worker runs `check --add --out FILE`.

    --ask       what is new is asked about at a sandbox, so the ledger has something to count
    --kill N    N times some worker is killed (SIGKILL) and goes on with --resume
    --restart N N times the server is stopped and started anew (the server that `.ci/postgres` has for that)
    --cut N     N times the network between the workers and the server is cut for a few seconds (a proxy; the server by its socket)

Printed, for SQLite and PostgreSQL:

    rate        pictures a second by the clock, with the start of the processes and what was done twice
    new         pictures that were told to be new, or to be reviewed, and stored
    twice       of those, how many are, byte for byte, another one that was stored as well: must be 0
    edits new   edits that were stored beside their original or another edit of it: what the recogniser misses, on both alike
    lost        pictures that were told to be stored and that a second look, after all has ended, does not find: must be 0
    faded       pictures that were told to be seen, so were not stored, and that the second look calls new: the home has grown since,
                and its threshold with it
    photos      rows of `photos`, which must be those of `new`
    unasked     pictures that were stored and, with --ask, have no answer: must be 0. One of which another copy was answered meanwhile
                takes no call of its own
    booked      calls in the ledger; `counted` are those that the sandbox has counted. They are equal; where workers were killed
                or the server went away, a call may be booked that was not made, never the other way round

The exit status is 1 where something must not be as it is.
"""

import argparse
import atexit
import collections
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SEED = 1688
EDITS = {"jpeg", "resize", "crop70", "banner", "pad", "mirror", "tone"}
# How often a worker whose run failed, as it does while the server is away, is started again.
MAX_STARTS = 200
# How long the network stays cut.
CUT_SECS = 5


def environment(folder, sandbox_url):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("TONGKUAN_") or name == "TONGKUAN_RUNTIME_DIR"}
    config = folder / "config.toml"
    upstream = f'base_url = "{sandbox_url}"\napp_key = "sandbox"\nmin_interval_ms = 0\ndaily_budget = 1000000\n'
    config.write_text(f'upstreams = ["article"]\n[upstream.article]\n{upstream}' if sandbox_url else "")
    env.update(TONGKUAN_CONFIG=str(config), TONGKUAN_APP_SECRET="sandbox-secret")
    return env


class Network:
    """A way to a server's socket, by a port of this machine, that can be cut: what is under way is dropped, and nothing gets through."""

    def __init__(self, server):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(server).query))
        self.to = f"{query['host']}/.s.PGSQL.{query['port']}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ends, self.cut_until, self.lock = set(), 0.0, threading.Lock()
        port = self.listener.getsockname()[1]
        self.server = f"postgres://{query['user']}@127.0.0.1:{port}/postgres?sslmode=disable"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.socket(socket.AF_UNIX)
            with self.lock:
                try:
                    if time.monotonic() < self.cut_until:
                        raise OSError("cut")
                    far.connect(self.to)
                except OSError:
                    near.close()
                    far.close()
                    continue
                self.ends |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    def pass_on(self, one, other):
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
        except OSError:
            pass
        self.drop([one, other])

    def drop(self, ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def cut(self):
        with self.lock:
            self.cut_until = time.monotonic() + CUT_SECS
            ends, self.ends = self.ends, set()
        self.drop(ends)


def run(binary, env, *args, stdin=None):
    done = subprocess.run([binary, *map(str, args)], input=stdin, capture_output=True, text=True, env=env, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{args}: {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def make(binary, env, folder, pictures, count):
    """A set of `tongkuan eval --make` with as many pictures as the originals need."""
    dice, chosen, made = random.Random(SEED), folder / "chosen", folder / "made"
    chosen.mkdir()
    found = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    for number, path in enumerate(dice.sample(found, min(len(found), count))):
        (chosen / f"{number}-{path.name}").write_bytes(path.read_bytes())
    run(binary, env, "eval", "--make", chosen, "--out", made, "--seed", SEED, "--limit", count)
    return made


def make_rows(made, count):
    """(path, item) of so many pictures: 40 % originals, the others repeats of them."""
    dice = random.Random(SEED)
    originals = max(1, count * 4 // 10)
    told = [json.loads(line) for line in (made / "manifest.ndjson").read_text().splitlines()]
    own = {row["item"]: made / row["path"] for row in told if row["role"] == "reference"}
    own = dict(list(own.items())[:originals])
    edits = [(made / row["path"], row["item"]) for row in told
             if row["role"] == "query" and row.get("edit") in EDITS and row.get("item") in own]
    dice.shuffle(edits)
    rows = [(path, item) for item, path in own.items()]
    while len(rows) < count:
        if edits and dice.random() < 0.5:
            rows.append(edits.pop())
        else:
            item = dice.choice(list(own))
            rows.append((own[item], item))
    dice.shuffle(rows)
    return rows


class Worker:
    """One process at a time that checks its share of the rows, started again until it has come to its end."""

    def __init__(self, args, env, home, folder, number, rows):
        self.rows = rows
        self.is_disturbed = args.kill or args.restart or args.cut
        self.list = folder / f"rows-{number}.txt"
        self.out = folder / f"told-{number}.ndjson"
        self.list.write_text("".join(f"{path}\n" for path, _ in rows))
        ask = ["--ask"] if args.ask else []
        self.command = [args.binary, "check", "--home", home, "--add", *ask, "--out", str(self.out), str(self.list)]
        self.env, self.starts, self.process, self.has_ended = env, 0, None, False
        self.errors = folder / f"errors-{number}.txt"

    def start(self):
        resume = ["--resume"] if self.starts else []
        self.starts += 1
        if self.starts > (MAX_STARTS if self.is_disturbed else 1):
            sys.exit(f"a worker does not come to its end: {self.errors.read_text()[-1000:]}")
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [*self.command, *resume], env=self.env, stdout=subprocess.DEVNULL, stderr=errors)

    def step(self):
        """Looks after the process; whether all is done."""
        if self.process is None:
            self.start()
        elif not self.has_ended and self.process.poll() is not None:
            # 2: some rows failed, or the whole run did; which, the lines tell.
            if self.process.returncode == 0 or (self.process.returncode == 2 and len(self.told()) == len(self.rows)):
                self.has_ended = True
            else:
                time.sleep(0.1)
                self.start()
        return self.has_ended

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            return True
        return False

    def told(self):
        if not self.out.exists():
            return []
        lines = self.out.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


def work(args, env, home, folder, rows, workers, network):
    """What was told of each row, seconds, and how often workers were killed, the server restarted and the network cut."""
    folder.mkdir()
    shares = [rows[number::workers] for number in range(workers)]
    all_workers = [Worker(args, env, home(folder, number), folder, number, share)
                   for number, share in enumerate(shares)]
    for worker in all_workers:
        atexit.register(worker.kill)
    begun, kills, restarts, cuts = time.monotonic(), 0, 0, 0
    dice = random.Random(SEED)
    may_disturb = workers > 1
    while not all([worker.step() for worker in all_workers]):
        time.sleep(0.05)
        done = sum(len(worker.told()) for worker in all_workers) / len(rows) if may_disturb else 0
        if may_disturb and kills < args.kill and done > (kills + 0.5) / (args.kill + 1):
            kills += dice.choice(all_workers).kill()
        if may_disturb and restarts < args.restart and done > (restarts + 0.7) / (args.restart + 1):
            subprocess.run([os.environ["TONGKUAN_TEST_POSTGRES_RESTART"]], check=True)
            restarts += 1
        if may_disturb and cuts < args.cut and done > (cuts + 0.3) / (args.cut + 1):
            network.cut()
            cuts += 1
    seconds = time.monotonic() - begun
    told = []
    for worker in all_workers:
        by_row = {line["row"]: line for line in worker.told()}
        assert len(by_row) == len(worker.told()), "a row was told of twice"
        told.extend(zip(worker.rows, (by_row[row] for row in sorted(by_row)), strict=True))
    return told, seconds, kills, restarts, cuts


def look_into(args, env, home, rows, told):
    """Counts of what must not be, and of what is told anyway."""
    counts = collections.Counter()
    stored = [(path, item) for (path, item), line in told if line["added"]]
    digests = collections.Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in stored)
    items = collections.Counter(item for _, item in stored)
    counts["new"] = len(stored)
    counts["twice"] = sum(times - 1 for times in digests.values())
    counts["edits new"] = sum(times - 1 for times in items.values())
    counts["errors"] = sum(line["outcome"] == "error" for _, line in told)
    acknowledged = [(path, line["added"]) for (path, _), line in told if line["outcome"] != "error"]
    listed = "".join(f"{path}\n" for path, _ in acknowledged)
    again = run(args.binary, env, "check", "--home", home, "--json", "-", stdin=listed).splitlines()
    unfound = [added for (_, added), line in zip(acknowledged, again) if json.loads(line)["outcome"] == "new"]
    counts["lost"] = sum(unfound) + len(acknowledged) - len(again)
    counts["faded"] = len(unfound) - sum(unfound)
    counts["untold"] = len(rows) - len(told)
    counts["photos"] = json.loads(run(args.binary, env, "stats", "--home", home, "--json"))["counts"]["photos"]
    if args.ask:
        counts["unasked"] = sum(line["added"] and (line["offers"] is None or line["unanswered"] is not None) for _, line in told)
        quota = json.loads(run(args.binary, env, "quota", "--home", home, "--json"))
        counts["booked"] = quota["upstreams"][0]["used"]
    return counts


def counted(url):
    with urllib.request.urlopen(url + "/sandbox/counters", timeout=60) as answer:
        return json.load(answer)["searches_ok"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures_in", metavar="FOLDER", type=Path, nargs="?", help="the pictures; not needed with --made")
    parser.add_argument("--made", type=Path, help="a set that `tongkuan eval --make` has made, instead of making one")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--server", help="an address of PostgreSQL; else that of .ci/postgres")
    parser.add_argument("--ask", action="store_true")
    parser.add_argument("--kill", type=int, default=0, metavar="N")
    parser.add_argument("--restart", type=int, default=0, metavar="N")
    parser.add_argument("--cut", type=int, default=0, metavar="N")
    args = parser.parse_args()
    args.binary = args.binary.resolve()
    server = args.server or os.environ.get("TONGKUAN_TEST_POSTGRES")
    if args.restart:
        server = os.environ.get("TONGKUAN_TEST_POSTGRES_RESTARTED")
        subprocess.run([os.environ["TONGKUAN_TEST_POSTGRES_RESTART"]], check=True)
    if not (args.made or args.pictures_in):
        parser.error("name a folder of pictures, or --made")
    if not server:
        sys.exit("name a server with --server, or run this by .ci/postgres")
    network = Network(server) if args.cut else None
    server = network.server if network else server
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        env = environment(folder, None)
        made = args.made or make(args.binary, env, folder, args.pictures_in, max(2, args.pictures * 8 // 10))
        rows = make_rows(made, args.pictures)
        schema = f"load_{os.getpid()}"

        def in_database(beside, number=0):
            return f"{server}{'&' if '?' in server else '?'}schema={schema}&folder={beside}/worker-{number}"

        def in_folder(beside, _=0):
            return str(beside / "home")

        print(f"{len(rows)} pictures, {len({item for _, item in rows})} of them different; {args.workers} workers; "
              f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
        for name, home, workers in [("SQLite", in_folder, 1), ("PostgreSQL", in_database, args.workers)]:
            sandbox, url = None, None
            if args.ask:
                sandbox = subprocess.Popen(
                    [args.binary, "sandbox", "--port", "0", "--min-interval-ms", "0", "--daily-quota", "1000000", "--json"],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(folder, None), text=True)
                atexit.register(sandbox.kill)
                url = json.loads(sandbox.stdout.readline())["base_url"]
            env = environment(folder, url)
            beside = folder / name
            told, seconds, kills, restarts, cuts = work(args, env, home, beside, rows, workers, network)
            counts = look_into(args, env, home(beside), rows, told)
            if sandbox:
                counts["counted"] = counted(url)
                sandbox.terminate()
            facts = ", ".join(f"{what} {number}" for what, number in counts.items())
            print(f"{name}: {workers} at once, {len(rows) / seconds:.1f} pictures/s; {kills} kills, {restarts} restarts, {cuts} cuts; {facts}", flush=True)
            spare = counts["booked"] - counts["counted"]
            is_disturbed = kills or restarts or cuts
            failed |= bool(counts["twice"] or counts["lost"] or counts["untold"] or counts["errors"] or counts["unasked"]
                           or counts["photos"] != counts["new"] or spare < 0 or (spare and not is_disturbed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
