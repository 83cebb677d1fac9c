#!/usr/bin/env python3
"""What `tongkuan check` takes as the home grows: memory, start, processor time and disk, at several numbers of stored pictures.

    cargo build --release
    python3 benches/check/memory.py FOLDER --binary target/release/tongkuan --sizes 10000,100000,1000000 --keep homes

Needs numpy and Pillow (models/requirements.txt), and 10 kB of disk a stored picture: a million takes 10 GB and some minutes to make.
Homes that are in --keep already are used again.

The homes. 200 pictures out of FOLDER are stored by `check --add`, and exported. To their lines others are added, as if so many
more pictures had been stored, and `tongkuan import` makes a home of them, with all its checks. The others' vectors have the mean and
the covariance of the real ones, and come in clusters of 20, as look-alikes do; their sketches are those of real pictures with another
distribution of light and with other bits in the corners, so that hashes and corners are spread as those of many pictures. So the
figures are those of a home of that size; nothing about verdicts follows from them.

The runs, each with a home of that size, `--rounds` times, medians:

    first      `check --add` of one picture after the import: makes the index, and leaves it in the home (once)
    start      one new picture: opens everything
    new        200 pictures that are not stored; of a burst, one
    copies     the stored 200, re-encoded at 80 % of their size, each round another way
    known      the stored 200, the same bytes

Shown are the most memory resident (`peak`) and that without pages of mapped files (`own`), which the system cannot take back.
CPU ms a picture is that of all rows without what a run of the first row alone takes. The first row of each table is a home of
the 200 alone. Disk is that of the catalogue and of the index, by stored pictures.
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

# Before it is imported: its own threads would only be in the way of the program's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))

import measuring
import pictures

SEED = 1688
REAL = 200
CLUSTER = 20
BATCH = 64
# Waves across and down that are laid over the brightness of a sketch: those that the hash looks at.
WAVES = 8


class Base:
    """A real picture's rows, and others that are made after it."""

    def __init__(self, photo, sketch):
        self.photo, self.bytes = photo, np.frombuffer(sketch, np.uint8)
        version, self.width, self.height, corners = (int(value) for value in self.bytes[:4])
        if version != 2:
            sys.exit(f"a sketch has format {version}: this bench knows 2 (docs/formats.md)")
        self.light = slice(4, 4 + self.width * self.height)
        colours = self.light.stop + 2 * -(-self.width // 2) * -(-self.height // 2)
        self.corners = slice(colours, colours + 35 * corners)

    def others(self, count, rng):
        """So many sketches, [count, bytes]."""
        rows = np.tile(self.bytes, (count, 1))
        across, down = (np.cos(np.pi * np.outer(np.arange(1, WAVES + 1), np.arange(n) + 0.5) / n) for n in (self.width, self.height))
        weights = rng.normal(0, 1, (count, WAVES, WAVES)) / np.add.outer(np.arange(1, WAVES + 1), np.arange(1, WAVES + 1))
        waves = np.einsum("nvu,vy,ux->nyx", weights, down, across, optimize=True)
        light = 0.3 * rows[:, self.light].reshape(waves.shape) + 90 + 60 * waves
        rows[:, self.light] = np.clip(light, 0, 255).reshape(count, -1).astype(np.uint8)
        corners = rows[:, self.corners].reshape(count, -1, 35)
        one, other = rng.integers(0, 256, (2, *corners[:, :, 3:].shape), np.uint8)
        corners[:, :, 3:] ^= one & other
        rows[:, self.corners] = corners.reshape(count, -1)
        return rows


class Vectors:
    """Made ones, like the real: [n, numbers], of length one, in clusters."""

    def __init__(self, real, rng):
        self.mean, self.spread, self.rng = real.mean(0), real - real.mean(0), rng
        self.centre, self.left = None, 0

    def next(self, count):
        weights = self.rng.normal(0, 1, (2, count, len(self.spread)))
        centres, own = weights @ self.spread / len(self.spread) ** 0.5
        for number in range(count):
            if not self.left:
                self.centre, self.left = centres[number].copy(), CLUSTER
            centres[number], self.left = self.centre, self.left - 1
        vectors = (self.mean + 0.9 * centres + 0.4 * own).astype(np.float32)
        return vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)


def parsed(path):
    """The header of an export, its rows, and the real pictures with their vectors."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    header, rows = rows[0], rows[1:-1]
    of = {name: {row["photo_id"]: row for row in rows if row["table"] == name} for name in ("photos", "embeddings", "sketches")}
    vectors = np.array([np.frombuffer(base64.b64decode(row["vector"]), "<f4") for row in of["embeddings"].values()])
    bases = [Base(photo, base64.b64decode(of["sketches"][photo_id]["sketch"])) for photo_id, photo in of["photos"].items()]
    return header, rows, bases, vectors


def write_lines(pipe, export, size):
    """An export of `size` pictures: the real ones, and others."""
    header, rows, bases, real = parsed(export)
    rng = np.random.default_rng(SEED)
    digest, lines = hashlib.sha256(), 0

    def put(text):
        data = text.encode()
        digest.update(data)
        pipe.write(data)

    last = max(row["photo_id"] for row in rows if row["table"] == "photos")
    others = max(0, size - len(bases))
    header["sequences"]["photos"] = last + others
    put(json.dumps(header) + "\n")
    for row in rows:
        put(json.dumps(row) + "\n")
    lines += len(rows)
    vectors, photo_id, batch = Vectors(real, rng), last, 0
    while photo_id < last + others:
        base = bases[batch % len(bases)]
        batch += 1
        count = min(BATCH, last + others - photo_id)
        sketches, made, digests = base.others(count, rng), vectors.next(count).astype("<f4"), rng.bytes(64 * count).hex()
        text = []
        for number in range(count):
            photo_id += 1
            vector, sketch = made[number].tobytes(), sketches[number].tobytes()
            pixels, file = digests[128 * number : 128 * number + 64], digests[128 * number + 64 : 128 * number + 128]
            photo = {**base.photo, "photo_id": photo_id, "label": f"made-{photo_id}.jpg", "pixel_digest": pixels}
            text.append(
                f"{json.dumps(photo)}\n"
                f'{{"table":"photo_bytes","byte_digest":"{file}","photo_id":{photo_id}}}\n'
                f'{{"table":"embeddings","photo_id":{photo_id},"vector":"{base64.b64encode(vector).decode()}","crc32":{zlib.crc32(vector)}}}\n'
                f'{{"table":"sketches","photo_id":{photo_id},"sketch":"{base64.b64encode(sketch).decode()}","crc32":{zlib.crc32(sketch)}}}\n')
        lines += 4 * count
        put("".join(text))
    pipe.write((json.dumps({"table": "end", "lines": lines, "sha256": digest.hexdigest()}) + "\n").encode())


def choose(folder, count):
    """Distinct pictures: those to be stored, and those that are not."""
    found, distinct, chosen = pictures.found(folder), pictures.Distinct(), []
    pictures.dice_for(SEED).shuffle(found)
    for path in found:
        if len(chosen) == 2 * count + 1:
            break
        if distinct.is_new(path):
            chosen.append(path.resolve())
    if len(chosen) <= 2 * count:
        print(f"only {len(chosen)} distinct pictures: half of them are stored", file=sys.stderr)
    return chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]


class Bench:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.env = measuring.environment(work, args.threads)
        self.stored, self.new = choose(args.folder, args.real)
        self.last = self.new.pop()
        self.base = work / "base"
        self.check(self.base, self.stored, "--add")
        self.export = work / "base.ndjson"
        measuring.run([args.binary, "export", self.export, "--home", self.base], self.env)

    def check(self, home, paths, *options):
        command = [self.args.binary, "check", "--home", home, "--json", "--offline", *options, "-"]
        done = measuring.run(command, self.env, "".join(f"{path}\n" for path in paths))
        done.lines = [json.loads(line) for line in done.out.splitlines()]
        return done

    def home(self, size):
        """A home with so many pictures, and what making it and its index took, by now or when it was made."""
        home = (self.args.keep or self.work) / f"home-{size}"
        said = home / "made.json"
        if said.exists():
            told = json.loads(said.read_text())
            if told["pictures"] != [str(path) for path in self.stored]:
                sys.exit(f"{home} was made of other pictures: name another --keep, or delete it")
            return home, told
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.exists():
            shutil.rmtree(home)
        command = [self.args.binary, "import", "-", "--home", home]
        made = measuring.run(command, self.env, write=lambda pipe: write_lines(pipe, self.export, size))
        first = self.check(home, [self.last], "--add")
        told = {"pictures": [str(path) for path in self.stored], "import_s": made.seconds, "import_peak": made.peak,
                "first_s": first.seconds, "first_cpu": first.cpu, "first_peak": first.peak}
        said.write_text(json.dumps(told) + "\n")
        return home, told

    def copies(self, round_number):
        folder = self.work / f"copies-{round_number}"
        if not folder.exists():
            folder.mkdir()
            for number, path in enumerate(self.stored):
                picture = pictures.opened(path)
                smaller = picture.resize([max(1, round(side * 0.8)) for side in picture.size])
                smaller.save(folder / f"{number:04}.jpg", "JPEG", quality=70 + round_number % 25)
        return sorted(folder.iterdir())

    def measure(self, size):
        home, told = self.home(size)
        runs = collections.defaultdict(list)
        for round_number in range(self.args.rounds):
            for name, paths in (("new", self.new), ("copies", self.copies(round_number)), ("known", self.stored)):
                alone, run = self.check(home, paths[:1]), self.check(home, paths)
                run.each = max(0, run.cpu - alone.cpu) / max(1, len(paths) - 1)
                runs[name].append(run)
                if name == "new":
                    runs["start"].append(alone)
        return home, told, runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the real pictures")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--sizes", default="10000,100000", help="numbers of stored pictures, with commas between")
    parser.add_argument("--real", type=int, default=REAL, metavar="N", help="so many real pictures are stored, and so many asked")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the homes stay, and are taken from the next time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="a file for all figures")
    args = parser.parse_args()
    args.binary = args.binary.resolve()
    sizes = [int(size) for size in args.sizes.split(",")]
    facts = measuring.facts(args.binary, args.threads)
    print(facts, flush=True)
    memory, work_done, all_told = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        for size in [len(bench.stored), *sizes]:
            home, told, runs = bench.measure(size)
            stored = sum(path.stat().st_size for path in home.glob("catalog.sqlite*"))
            index = measuring.bytes_below(home / "index") if (home / "index").exists() else 0
            of = {name: {what: measuring.median(rounds, what) for what in ("seconds", "cpu", "peak", "own")} for name, rounds in runs.items()}
            all_told.append({"size": size, "made": told, "runs": of, "catalog_bytes": stored, "index_bytes": index})
            memory.append([
                f"{size:,}", f"{told['import_s']:.1f}", f"{told['first_s']:.1f}", f"{told['first_peak'] / 1e6:.0f}",
                f"{of['start']['seconds']:.2f}", f"{of['start']['cpu']:.2f}", f"{of['new']['peak'] / 1e6:.0f}",
                f"{of['new']['own'] / 1e6:.0f}", f"{stored / size / 1e3:.1f}", f"{index / size / 1e3:.2f}"])
            row = [f"{size:,}"]
            for name, rows in (("new", bench.new), ("copies", bench.stored), ("known", bench.stored)):
                outcomes = [line["outcome"] for line in runs[name][0].lines]
                told_of = ", ".join(f"{outcomes.count(what)} {what}" for what in ("seen", "review", "new", "error") if what in outcomes)
                row += [f"{measuring.median(runs[name], 'each') * 1e3:.2f}", f"{len(rows) / of[name]['seconds']:.0f}", told_of]
            work_done.append(row)
    print()
    measuring.table(
        ["stored", "import, s", "first run, s", "its peak, MB", "start, s", "start, CPU s", "new: peak, MB", "own, MB",
         "catalogue, kB a picture", "index, kB a picture"], memory)
    measuring.table(
        ["stored", *(f"{name}: {what}" for name in ("new", "copies", "known") for what in ("CPU ms", "a second", "told"))], work_done)
    print(measuring.load())
    if args.json:
        args.json.write_text(json.dumps({"facts": facts, "sizes": all_told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
