#!/usr/bin/env python3
"""What `tongkuan check` costs beside the bare model, on four sets made of one folder of pictures, in one run.

    cargo build --release
    python3 benches/check/run.py FOLDER --binary target/release/tongkuan --pictures 200 --rounds 3

Needs onnxruntime, numpy and Pillow (models/requirements.txt) for the bare model and for making copies. The sets:

    new      the pictures themselves, into an empty home
    edited   copies of them in nine ways (`tongkuan eval --make`: jpeg, resize, crop70, crop40, banner, pad, mirror, turn,
             tone), against a home that holds the originals
    repeats  40 % new ones, 30 % the same bytes once more, 30 % re-encoded and resized, shuffled, into an empty home
    bytes    the originals over and over, against the home that holds them

Printed are pictures a second by the clock, and processor time a picture (all threads together), which a busy machine changes
less, each with its share of the bare model's: by the clock that of as many threads with a session each, by processor time that of one
thread that runs alone. A round runs the bare model, then every set; medians. Beside
each stands what was said: for copies how many were seen as the right picture, seen as another one, or not seen.
"""

import argparse
import collections
import concurrent.futures
import io
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))

import measuring

SEED = 1688
# How often each thread of the bare model embeds its pictures.
BARE_PASSES = 20
SINGLE_EDITS = {"jpeg", "resize", "crop70", "crop40", "banner", "pad", "mirror", "turn", "tone"}
MODEL = ROOT / "models" / "efficientnet-lite0-gem" / "model.onnx"


def bare_model(paths, threads):
    """Processor seconds that one pass over one picture takes on one thread that runs alone (the median), and pictures a second by the
    clock of so many threads with a session each, which on cores that share their units take longer for each."""
    import numpy as np
    import onnxruntime as ort
    from PIL import Image

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [ort.InferenceSession(str(MODEL), options) for _ in range(threads)]
    windows = np.full((1, 64), 1 / 64, np.float32)
    inputs = []
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB").resize((256, 256))
        pixels = ((np.asarray(picture, np.float32) - 127) / 127.5).transpose(2, 0, 1)[None].copy()
        inputs.append({"pixels": pixels, "windows": windows})
    taken = []
    for given in inputs:
        start = time.process_time()
        sessions[0].run(None, given)
        taken.append(time.process_time() - start)
    for session in sessions[1:]:
        session.run(None, inputs[0])
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        def embed(session):
            for given in inputs * BARE_PASSES:
                session.run(None, given)

        start = time.perf_counter()
        list(pool.map(embed, sessions))
        rate = threads * len(inputs) * BARE_PASSES / (time.perf_counter() - start)
    return statistics.median(taken[2:]), rate


def re_encoded(path, dice):
    from PIL import Image

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    side = dice.uniform(0.6, 1.0)
    picture = picture.resize([max(1, round(length * side)) for length in picture.size])
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=dice.randrange(60, 90))
    return out.getvalue()


class Sets:
    def __init__(self, folder, pictures, made, binary, count, threads):
        self.folder, self.binary, self.threads = folder, binary, threads
        dice = random.Random(SEED)
        made = made or self.make(pictures, dice, count)
        rows = [json.loads(line) for line in (made / "manifest.ndjson").read_text().splitlines()]
        own = [(row["item"], made / row["path"]) for row in rows if row["role"] == "reference"]
        own = dict(own[:count])
        self.originals = [(path, path.name) for path in own.values()]
        copies = [row for row in rows if row["role"] == "query" and row.get("edit") in SINGLE_EDITS]
        copies = [(made / row["path"], own[row["item"]].name, row["edit"]) for row in copies if row.get("item") in own]
        dice.shuffle(copies)
        self.edited = copies[: 2 * count]
        self.repeats = []
        for number, (path, name) in enumerate(self.originals):
            self.repeats.append((path, name))
            if dice.random() < 0.75:
                self.repeats.append((path, name))
            if dice.random() < 0.75:
                copy = folder / f"copy-{number}.jpg"
                copy.write_bytes(re_encoded(path, dice))
                self.repeats.append((copy, name))
        dice.shuffle(self.repeats)
        self.repeats = self.repeats[:count]
        times = -(-20_000 // len(self.originals))
        self.bytes = self.originals * times

    def make(self, pictures, dice, count):
        found = sorted(p for p in pictures.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
        chosen, made = self.folder / "chosen", self.folder / "made"
        chosen.mkdir()
        for path in dice.sample(found, min(len(found), 2 * count)):
            shutil.copy(path, chosen / path.name)
        command = [self.binary, "eval", "--make", chosen, "--out", made, "--seed", SEED, "--limit", 2 * count]
        measuring.run(command, measuring.environment(self.folder, self.threads))
        return made

    def check(self, home, rows, *options):
        listed = "".join(str(row[0]) + "\n" for row in rows)
        command = [self.binary, "check", "--home", home, "--json", "--log", "info", *options, "-"]
        return measuring.run(command, measuring.environment(self.folder, self.threads), listed)


def told(lines, rows):
    """How many were new, right and wrong."""
    counts = collections.Counter()
    first = {}
    for line, row in zip(map(json.loads, lines), rows, strict=True):
        label = line.get("matched_label")
        if line["outcome"] == "seen":
            right = label == row[1] or first.get(row[1]) == label
            counts["right" if right else "wrong"] += 1
        else:
            first.setdefault(row[1], Path(row[0]).name)
            counts[line["outcome"]] += 1
        counts["without the model"] += line["outcome"] == "seen" and line.get("score") is None
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="the pictures; not needed with --made")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--made", type=Path, help="a set that `tongkuan eval --make` has made, instead of making one")
    parser.add_argument("--only", action="append", help="some of the sets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sets = Sets(folder, args.folder, args.made, args.binary.resolve(), args.pictures, args.threads)
        stored = folder / "stored"
        sets.check(stored, sets.originals, "--add")
        results, bare = collections.defaultdict(list), []
        for round_number in range(args.rounds):
            bare.append(bare_model([path for path, _ in sets.originals][:40], args.threads))
            for name in args.only or ("new", "edited", "repeats", "bytes"):
                rows = {"new": sets.originals, "edited": sets.edited, "repeats": sets.repeats, "bytes": sets.bytes}[name]
                is_new = name in ("new", "repeats")
                home = folder / f"{name}-{round_number}" if is_new else stored
                done = sets.check(home, rows, *(["--add"] if is_new else []))
                results[name].append((done, told(done.out.splitlines(), rows), len(rows)))
                if is_new:
                    shutil.rmtree(home)
        bare, bare_rate = (statistics.median(figures) for figures in zip(*bare, strict=True))
        print(measuring.facts(args.binary, args.threads))
        print(f"bare model: {bare * 1e3:.1f} ms of one thread that runs alone; {bare_rate:.1f}/s on {args.threads} threads; {measuring.load()}\n")
        head = ["set", "rows", "a second", "of the bare model's", "CPU ms a picture", "of the bare model's by that", "peak RSS, MB", "told"]
        rows = []
        for name, rounds in results.items():
            runs, (_, said, count) = [run for run, _, _ in rounds], rounds[0]
            seconds, cpu, peak = (measuring.median(runs, what) for what in ("seconds", "cpu", "peak"))
            said = ", ".join(f"{number} {what}" for what, number in sorted(said.items()) if number)
            rows.append([name, count, f"{count / seconds:.1f}", f"{count / seconds / bare_rate:.2f}", f"{cpu / count * 1e3:.2f}", f"{bare / (cpu / count):.2f}",
                         f"{peak / 1e6:.0f}", said])
            print("\n".join(line for line in runs[-1].errors.splitlines() if "busy" in line)[-600:], file=sys.stderr)
        measuring.table(head, rows)


if __name__ == "__main__":
    main()
