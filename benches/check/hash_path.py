#!/usr/bin/env python3
"""How often `tongkuan check` sees a stored picture in one that is not stored, by the hash and by the embedding.

    cargo build --release
    python3 benches/check/hash_path.py FOLDER --families variants/fit --binary target/release/tongkuan --pictures 4000 --sheet false.png

`check` first compares a picture with the stored ones whose hashes differ from its own by six bits or fewer, and takes one that the
judge is sure of without asking the model (docs/benchmarks/check.md). Pictures without a true match are asked:

    unseen           pictures of FOLDER. It is parted by the names: of each kind (what comes before the first `-`, or the folder) the
                     first half is stored and the second half asked, with a gap between, since pictures that were taken together
                     stand side by side. Of what is asked, shots of one burst count once
    families         of `--families`, a folder with labels.ndjson (`file`, `item`, `family`): one item of each family is stored, and
                     the other colours of it are asked
    hue60, hue180    stored pictures with their hues turned, where that shows: a hash knows of light alone, so most are proposed

Needs numpy and Pillow (models/requirements.txt). The stored ones are stored by `check --add` (what is seen as another one of them is not),
and each set is asked by `check --add` in a copy of that home, so that every sketch can be read from an export: by them it is counted how
many pictures had one proposed at all. Found by the hash is what is `seen` by the rule `same_picture` without a `score`; all else that is
`seen` by that rule was found by embeddings, of the whole or of parts. What is seen as another *asked* picture is set aside, as is what is
equal to a stored picture by bytes or pixels. Bounds are those of Clopper and Pearson, one-sided, with 95 % certainty.

`--sheet` shows what was seen: whether it truly shows the same is for a person to tell. Of pictures that the judge or its
threshold were made with, a bound says less than of others.
"""

import argparse
import base64
import collections
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))

import measuring
import pictures

SEED = 1688
GAP = 40
# MAX_HASH_DISTANCE of src/index/hashes.rs.
NEAR_BITS = 6
FREQUENCIES = 8


def parted(folder, count):
    """Pictures to be stored, and pictures to be asked, at most so many of each."""
    kinds = collections.defaultdict(list)
    for path in pictures.found(folder):
        name = path.relative_to(folder)
        kinds[name.parent if len(name.parts) > 1 else name.name.partition("-")[0]].append(path.resolve())
    stored, asked = [], []
    for paths in kinds.values():
        middle, gap = len(paths) // 2, min(GAP, len(paths) // 10)
        stored += paths[: middle - gap // 2]
        asked += paths[middle + gap - gap // 2 :]
    dice, distinct = pictures.dice_for(SEED), pictures.Distinct()
    dice.shuffle(stored)
    dice.shuffle(asked)
    chosen = []
    for path in asked:
        if len(chosen) < count and distinct.is_new(path):
            chosen.append(path)
    return stored[:count], chosen


def families(folder):
    """One item of each family of several, and the other items."""
    stored, asked, items = [], [], collections.defaultdict(list)
    rows = [json.loads(line) for line in (folder / "labels.ndjson").read_text().splitlines()]
    for row in rows:
        items[row["family"]].append(row["item"])
    for row in rows:
        path, of_family = (folder / row["file"]).resolve(), items[row["family"]]
        if len(set(of_family)) > 1:
            (stored if row["item"] == of_family[0] else asked).append(path)
    return stored, asked


def other_colours(stored, kind, count, folder):
    """Of so many stored pictures of which another colour shows."""
    made, dice = {}, pictures.dice_for(SEED, kind)
    folder.mkdir()
    for path in dice.sample(stored, len(stored)):
        if len(made) == count:
            break
        if found := pictures.copy(path, kind, dice):
            copy = folder / f"{len(made):05}-{path.stem}{found[1]}"
            copy.write_bytes(found[0])
            made[copy] = path
    return list(made)


def hashes_of(sketch):
    """As src/verify/hash.rs: (width, height), the bits of a picture, and those of its mirror image."""
    width, height = sketch[1], sketch[2]
    light = np.frombuffer(sketch, np.uint8, width * height, 4).reshape(height, width).astype(np.float32)
    across, down = (np.cos(np.pi * np.outer(np.arange(1, FREQUENCIES + 1), np.arange(n) + 0.5) / n) for n in (width, height))
    waves = down @ light @ across.T
    mirrored = waves * np.where(np.arange(FREQUENCIES) % 2, 1, -1)
    bits = [np.packbits(grid.ravel() > np.sort(grid.ravel())[FREQUENCIES**2 // 2 - 1]) for grid in (waves, mirrored)]
    return (width, height), *(int.from_bytes(row.tobytes(), "big") for row in bits)


class Proposals:
    """The hashes of stored pictures."""

    def __init__(self, hashes):
        self.shapes = np.array([shape for shape, _, _ in hashes], np.int16)
        self.bits = np.array([bits for _, bits, _ in hashes], np.uint64)

    def any_near(self, shape, *asked):
        like = (np.abs(self.shapes - np.array(shape, np.int16)) <= 1).all(1)
        stored = self.bits[like]
        return any((np.bitwise_count(stored ^ np.uint64(bits)) <= NEAR_BITS).any() for bits in asked)


class Bench:
    def __init__(self, args, work):
        self.args, self.work, self.env = args, work, measuring.environment(work, args.threads)

    def check(self, home, paths):
        command = [self.args.binary, "check", "--add", "--home", home, "--json", "--offline", "-"]
        done = measuring.run(command, self.env, "".join(f"{path}\n" for path in paths), allowed=(0, 1, 2))
        return [json.loads(line) for line in done.out.splitlines()], done

    def hashes(self, home):
        """By numbers of photos."""
        export = home.parent / f"{home.name}.ndjson"
        measuring.run([self.args.binary, "export", export, "--home", home], self.env)
        found = {}
        with export.open() as lines:
            for line in lines:
                if '"sketches"' in line:
                    row = json.loads(line)
                    found[row["photo_id"]] = hashes_of(base64.b64decode(row["sketch"]))
        export.unlink()
        return found

    def ask(self, name, home, proposals, last, labels, asked):
        copy = self.work / name
        shutil.copytree(home, copy)
        lines, done = self.check(copy, asked)
        hashes = self.hashes(copy)
        shutil.rmtree(copy)
        counts, shown = collections.Counter(asked=len(asked)), []
        for path, line in zip(asked, lines, strict=True):
            matched = line["matched_photo_id"]
            is_seen = line["outcome"] == "seen"
            if line["outcome"] == "error":
                counts["aside"] += 1
            elif is_seen and (line["rule"] != "same_picture" or matched is None or matched > last):
                counts["aside"] += 1
            elif is_seen:
                way = "embedding" if line["score"] is not None else "hash"
                counts[way] += 1
                # What is seen is not stored, and has no sketch in the export.
                counts["proposed"] += way == "hash"
                counts["proposed unknown"] += way == "embedding"
                shown.append((path, labels[matched], f"{name}, by {way}, {line['confidence']:.3f}"))
            else:
                counts[line["outcome"]] += 1
                counts["proposed"] += line["photo_id"] in hashes and proposals.any_near(*hashes[line["photo_id"]])
        counts["seconds"] = done.seconds
        return counts, shown


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the pictures")
    parser.add_argument("--families", type=Path, metavar="DIR", help="real colour families, with labels.ndjson")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--pictures", type=int, default=4000, metavar="N", help="at most so many are stored, and as many asked")
    parser.add_argument("--colours", type=int, default=1000, metavar="N", help="so many of each kind of turned hues")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sheet", type=Path, help="a picture of what was seen: asked one, and stored one")
    parser.add_argument("--json", type=Path, help="a file for all figures, and for each picture that was seen")
    args = parser.parse_args()
    args.binary = args.binary.resolve()
    facts = measuring.facts(args.binary, args.threads)
    print(facts, flush=True)
    told, shown = {}, []
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(args, Path(work))
        stored, asked = parted(args.folder, args.pictures)
        sets = {"unseen": asked}
        if args.families:
            one_each, others = families(args.families)
            stored, sets["families"] = stored + one_each, others
        for kind in pictures.COLOURS:
            sets[kind] = other_colours(stored, kind, args.colours, Path(work) / f"made-{kind}")
        home = Path(work) / "home"
        lines, _ = bench.check(home, stored)
        labels = {line["photo_id"]: path for path, line in zip(stored, lines, strict=True) if line["added"]}
        hashes = bench.hashes(home)
        print(f"{len(labels)} of {len(stored)} stored, the others having been seen among them\n", flush=True)
        for name, paths in sets.items():
            told[name], seen = bench.ask(name, home, Proposals(list(hashes.values())), max(hashes), labels, paths)
            shown += seen
        if args.sheet:
            pictures.contact_sheet(shown, args.sheet)
    rows = []
    for name, of in told.items():
        counted = of["asked"] - of["aside"]
        # Of what was seen by its embedding and so not stored, it is not known.
        unknown = f" to {of['proposed'] + of['proposed unknown']}" if of["proposed unknown"] else ""
        row = [name, of["asked"], of["aside"], f"{of['proposed']}{unknown}"]
        for way in ("hash", "embedding"):
            row += [f"{of[way]}, {measuring.share(of[way], counted)}", f"{100 * measuring.upper_bound(of[way], counted):.3f} %" if counted else "-"]
        rows.append([*row, of["review"], of["new"]])
    measuring.table(["set", "asked", "set aside", "with one proposed by its hash", "seen by the hash", "at most", "seen by the embedding", "at most",
                     "review", "new"], rows)
    print(measuring.load())
    if args.json:
        seen = [{"asked": str(one), "stored": str(other), "what": what} for one, other, what in shown]
        args.json.write_text(json.dumps({"facts": facts, "sets": told, "seen": seen}, indent=1) + "\n")


if __name__ == "__main__":
    main()
