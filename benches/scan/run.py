#!/usr/bin/env python3
"""How fast `tongkuan scan` groups a folder, what memory it takes, and whether the groups are right.

    cargo build --release
    python3 benches/scan/run.py FOLDER --binary target/release/tongkuan --pictures 10000 --json scan.json --sheet wrong.jpg

Needs Pillow (models/requirements.txt). A folder of so many files is made, in an order that says nothing:

    40 %  originals out of FOLDER, distinct by their bytes and not shots of one burst (a coarse signature tells); the rest are
          of them, each kind as often as the others:
    copies        bytes (the same once more), jpeg, webp, resize, crop70, banner, pad, mirror, tone
    other colours hue60, hue180: the hue turned, where that shows in 15 % of the pixels. They are pictures of their own

Where FOLDER has too few distinct pictures for that, fewer files are made, and that is said. Then `tongkuan scan --json` runs

    cold       with nothing known of the folder
    unchanged  at once again
    changed    after 1 % of the files changed: a third each was replaced by a re-encoding, deleted, and came new

`--rounds N` does all three N times, with nothing known at the start of each, and prints medians. Several numbers after `--pictures`
make a row each, to see how time grows.

First table: pictures a second by the clock, start included; processor time of all threads; `peak` is the most memory resident, `own`
that without pages of mapped files; what was embedded and judged; `disk` is what is known of the folder afterwards, a file.
Second table, of the cold scan, by kind:

    with its original  share of the copies in one group with their original. Of other colours: must be 0
    told as            relations to the picture that stands for the group
    wrong members      files in a group most of whose files show another picture: its own are neither there, or fewer. Where two
                       are as many, the original counts as right. Another colour of a picture is another picture
    at most (95 %)     the share of wrong members that is not exceeded with 95 % certainty (Clopper and Pearson, one-sided)
    wrong groups       groups with a wrong member of that kind

`--sheet` shows wrong members beside the picture that stands for their group: originals that show the same by chance are
for a person to tell from errors. `--json` has all of it.
"""

import argparse
import collections
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))

import measuring
import pictures

SEED = 1688
ORIGINALS = 0.4
CHANGED = 0.01
KINDS = [*pictures.COPIES, *pictures.COLOURS]


class Made:
    """A folder of pictures, and what each file in it is."""

    def __init__(self, folder, source, count):
        self.folder, self.of, self.written_at = folder, {}, time.time() - 3600
        folder.mkdir()
        dice = pictures.dice_for(SEED, count)
        wanted, spare = max(1, round(count * ORIGINALS)), max(1, round(count * CHANGED / 3))
        originals = self.choose(source, dice, wanted + spare)
        self.spare = originals[len(originals) - min(spare, len(originals) // 10):]
        originals = originals[: min(wanted, len(originals) - len(self.spare))]
        if len(originals) < wanted:
            count = round(len(originals) / ORIGINALS)
            print(f"only {len(originals)} distinct pictures of the {wanted} that are needed: {count} files are made", file=sys.stderr)
        rows = [(path, "original") for path in originals]
        missing = collections.Counter()
        for number in range(count - len(originals)):
            rows.append(self.row(originals, KINDS[number % len(KINDS)], dice, missing))
        dice.shuffle(rows)
        for number, (path, kind) in enumerate(rows):
            self.put(number, path, kind)
        if missing:
            print(f"too few colours show for {dict(missing)}: copies of the same bytes instead", file=sys.stderr)

    def choose(self, source, dice, wanted):
        found, distinct = pictures.found(source), pictures.Distinct()
        dice.shuffle(found)
        chosen = []
        for path in found:
            if len(chosen) == wanted:
                break
            try:
                if distinct.is_new(path):
                    chosen.append(path)
            except OSError as error:
                print(f"{path}: {error}", file=sys.stderr)
        self.passed_over = distinct.passed_over
        return chosen

    @staticmethod
    def row(originals, kind, dice, missing):
        for _ in range(50):
            path = dice.choice(originals)
            if kind in pictures.COPIES or pictures.copy(path, kind, dice):
                return path, kind
        missing[kind] += 1
        return path, "bytes"

    def put(self, number, path, kind):
        if kind == "original":
            data, suffix = path.read_bytes(), path.suffix
        else:
            data, suffix = pictures.copy(path, kind, pictures.dice_for(SEED, number))
        name = f"{number:06}{suffix}"
        (self.folder / name).write_bytes(data)
        # What was changed a moment before it was read is read again by the next scan; these are older than that.
        os.utime(self.folder / name, (self.written_at, self.written_at))
        # Another colour is a picture of its own; two of one original, turned alike, are the same.
        self.of[name] = (path, f"{path}" if kind not in pictures.COLOURS else f"{path} {kind}", kind)

    def change(self, round_number):
        """Changes 1 %; returns how many files. What is what is not followed."""
        names = sorted(path.name for path in self.folder.iterdir())
        dice = pictures.dice_for(SEED, "change", round_number)
        chosen = dice.sample(names, max(2, round(len(names) * CHANGED * 2 / 3)))
        for place, name in enumerate(chosen):
            path = self.folder / name
            if place % 2:
                path.unlink()
            else:
                data, _ = pictures.copy(path, "jpeg", dice)
                path.write_bytes(data)
        for number, path in enumerate(self.spare):
            shutil.copyfile(path, self.folder / f"new-{round_number}-{number}{path.suffix}")
        return len(chosen) + len(self.spare)


def scan(args, folder, home):
    command = [args.binary, "scan", folder, "--scan-home", home, "--home", home.parent / "home", "--json", "--offline"]
    env = measuring.environment(home.parent, args.threads)
    done = measuring.run(command, env, allowed=(0,))
    lines = [json.loads(line) for line in done.out.splitlines()]
    return done, lines, next(line for line in lines if line["kind"] == "summary")


def judge(made, lines):
    """Counts by kind, and wrong members beside the picture that stands for their group."""
    counts = {kind: collections.Counter() for kind in ("original", *KINDS)}
    for _, _, kind in made.of.values():
        counts[kind]["files"] += 1
    wrong, groups = [], [line["members"] for line in lines if line["kind"] == "group"]
    for members in groups:
        names = [member["name"] for member in members]
        sizes = collections.Counter(made.of[name][1] for name in names)
        originals = {made.of[name][1] for name in names if made.of[name][2] == "original"}
        right = max(sizes, key=lambda item: (sizes[item], item in originals, item))
        medoid = next(member["name"] for member in members if member["relation"] == "medoid")
        wrong_kinds = set()
        for member in members:
            path, item, kind = made.of[member["name"]]
            counts[kind]["with its original"] += kind != "original" and str(path) in originals
            counts[kind][f"told {member['relation']}"] += 1
            if item != right:
                counts[kind]["wrong"] += 1
                wrong_kinds.add(kind)
                beside = medoid if medoid != member["name"] else next(name for name in names if made.of[name][1] == right)
                wrong.append({"file": member["name"], "kind": kind, "of": str(path), "beside": beside,
                              "beside_kind": made.of[beside][2], "beside_of": str(made.of[beside][0]),
                              "confidence": member["confidence"]})
        for kind in wrong_kinds:
            counts[kind]["wrong groups"] += 1
    return counts, wrong, len(groups)


def measure(args, count, work):
    made = Made(work / "made", args.folder, count)
    files = len(made.of)
    print(f"{files} files; {made.passed_over} pictures of the folder were passed over as not distinct", file=sys.stderr, flush=True)
    steps, judged, disk = collections.defaultdict(list), None, 0
    pristine = work / "pristine"
    shutil.copytree(made.folder, pristine)
    for round_number in range(args.rounds):
        home = work / f"known-{round_number}"
        for step in ("cold", "unchanged", "changed"):
            if step == "changed":
                made.change(round_number)
            done, lines, summary = scan(args, made.folder, home)
            steps[step].append((done, summary))
            if step == "cold" and judged is None:
                judged = judge(made, lines)
        disk = measuring.bytes_below(home)
        shutil.rmtree(home)
        shutil.rmtree(made.folder)
        shutil.copytree(pristine, made.folder)
    return made, files, steps, judged, disk


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the pictures; what lies in folders below counts")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000], metavar="N", help="how many files to make")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="a file for all figures, and for each wrong member")
    parser.add_argument("--sheet", type=Path, help="a picture of wrong members, each beside the one that stands for its group")
    args = parser.parse_args()
    args.binary = args.binary.resolve()
    print(measuring.facts(args.binary, args.threads), flush=True)
    speed, all_told = [], []
    for count in args.pictures:
        with tempfile.TemporaryDirectory() as work:
            made, files, steps, (counts, wrong, groups), disk = measure(args, count, Path(work))
            if args.sheet:
                pairs = [(made.folder / row["file"], made.folder / row["beside"],
                          f"{row['kind']} {row['file']} in {row['beside_kind']} {row['beside']}") for row in wrong]
                pictures.contact_sheet(pairs, args.sheet)
        told = {"files": files, "groups": groups, "kinds": counts, "wrong": wrong, "steps": {}}
        for step, runs in steps.items():
            done = [done for done, _ in runs]
            seconds, cpu, peak, own = (measuring.median(done, what) for what in ("seconds", "cpu", "peak", "own"))
            summary = runs[0][1]
            told["steps"][step] = {"seconds": seconds, "cpu": cpu, "peak": peak, "own": own, "summary": summary}
            speed.append([
                f"{files} {step}", f"{summary['files'] / seconds:.1f}", f"{seconds:.2f}", f"{cpu:.2f}", f"{cpu / summary['files'] * 1e3:.2f}",
                f"{peak / 1e6:.0f}", f"{own / 1e6:.0f}", *(summary[what] for what in ("unchanged", "read", "embedded", "judged", "groups")),
                f"{disk / files / 1e3:.1f}"])
        all_told.append(told)
    print()
    measuring.table(["files, scan", "pictures a second", "seconds", "CPU s", "CPU ms a file", "peak, MB", "own, MB", "unchanged", "read", "embedded",
                     "judged", "groups", "disk, kB a file"], speed)
    for told in all_told:
        print(f"{told['files']} files, {told['groups']} groups, cold:\n")
        rows = []
        for kind, of in told["kinds"].items():
            relations = ", ".join(f"{n} {what[5:]}" for what, n in sorted(of.items()) if what.startswith("told ") and n)
            joined = "-" if kind == "original" else f"{of['with its original']}, {measuring.share(of['with its original'], of['files'])}"
            rows.append([kind, of["files"], joined, relations or "-", f"{of['wrong']}, {measuring.share(of['wrong'], of['files'])}",
                         f"{100 * measuring.upper_bound(of['wrong'], of['files']):.2f} %" if of["files"] else "-", of["wrong groups"]])
        measuring.table(["kind", "files", "with its original", "told as", "wrong members", "at most (95 %)", "wrong groups"], rows)
    print(measuring.load())
    if args.json:
        args.json.write_text(json.dumps({"facts": measuring.facts(args.binary, args.threads), "sizes": all_told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
