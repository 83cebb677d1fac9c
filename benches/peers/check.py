#!/usr/bin/env python3
"""`tongkuan check` beside other finders of duplicates, on the same pictures, in one run.

    cargo build --release
    python3 benches/peers/check.py PICTURES --binary target/release/tongkuan --pictures 200
    python3 benches/peers/check.py PICTURES --only pdq --only phash      # some of them

Installs what is missing into a virtual environment (TONGKUAN_PEERS_VENV, else beside this file): pdqhash, imagededup (PHash, and
CNN, which brings torch and fetches the weights of MobileNetV3), fastdup. czkawka is asked where `czkawka_cli` is on the path
(`cargo install czkawka_cli`). What cannot be installed is said and left out.

A set is made by `tongkuan eval --make`: half of the pictures are stored, copies of them in twelve ways must be found, and copies of
the other half must not. Each peer uses the threshold that it has by default. Everything runs on two threads or one, as the peer
does by itself; the time is that of reading and comparing all of it, start included. Shown are pictures a second, processor time a
picture, peak memory, the share of copies of which the right original is found, of whole-picture copies and of all, and the
share of pictures that are not stored of which something is found, alone and of those made to look like a stored one (another
colour, other goods in its place).
"""

import argparse
import collections
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEED = 1688
COMPOSITES = {"collage", "scene", "poster"}
PACKAGES = {
    "pdq": ["pdqhash==0.2.7", "opencv-python-headless"],
    "phash": ["imagededup==0.3.3.post2"],
    "cnn": ["imagededup==0.3.3.post2"],
    "fastdup": ["fastdup"],
}
PEERS = ["tongkuan", "pdq", "phash", "cnn", "fastdup", "czkawka"]


def pdq(stored, queries, _):
    import cv2
    import numpy as np
    import pdqhash

    def of(path):
        picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        return picture

    # A stored picture is found if one of the eight hashes of turned and mirrored queries is within 31 bits.
    hashes = np.array([pdqhash.compute(of(path))[0] for path in stored], bool)
    found = {}
    for path in queries:
        turned, _ = pdqhash.compute_dihedral(of(path))
        apart = np.stack([(hashes != np.array(one, bool)).sum(1) for one in turned]).min(0)
        found[path] = stored[int(apart.argmin())] if apart.min() <= 31 else None
    return found


def imagededup(stored, queries, folder, method):
    from imagededup import methods

    all_in_one = folder / "all"
    all_in_one.mkdir()
    names = {}
    for number, path in enumerate([*stored, *queries]):
        name = f"{number}{Path(path).suffix}"
        os.link(path, all_in_one / name) if os.stat(path).st_dev == os.stat(all_in_one).st_dev else shutil.copy(path, all_in_one / name)
        names[name] = path
    finder = getattr(methods, method)()
    options = {"max_distance_threshold": 10} if method == "PHash" else {"min_similarity_threshold": 0.9}
    near = finder.find_duplicates(image_dir=str(all_in_one), scores=True, **options)
    stored_names = {name for name, path in names.items() if path in set(stored)}
    found = {}
    for name, path in names.items():
        if path in set(queries):
            mine = [(score, other) for other, score in near[name] if other in stored_names]
            best = (min if method == "PHash" else max)(mine, default=None)
            found[path] = names[best[1]] if best else None
    return found


def fastdup(stored, queries, folder):
    import fastdup as library

    listed = folder / "list.txt"
    listed.write_text("\n".join([*stored, *queries]) + "\n")
    work = folder / "work"
    library.run(str(listed), work_dir=str(work), threshold=0.9, nearest_neighbors_k=5, num_threads=2)
    names = [row["filename"] for row in csv.DictReader((work / "atrain_features.dat.csv").open())]
    found, is_stored = {path: (0.0, None) for path in queries}, set(stored)
    for row in csv.DictReader((work / "similarity.csv").open()):
        pair = names[int(row["from"])], names[int(row["to"])]
        for one, other in (pair, pair[::-1]):
            if one in found and other in is_stored and float(row["distance"]) > found[one][0]:
                found[one] = (float(row["distance"]), other)
    return {path: best for path, (_, best) in found.items()}


def czkawka(stored, queries, folder):
    out = folder / "groups.json"
    folders = sorted({str(Path(path).parent) for path in [*stored, *queries]})
    command = ["czkawka_cli", "image", "-d", ",".join(folders), "-C", str(out)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found, is_stored = dict.fromkeys(queries), set(stored)
    for group in json.loads(out.read_text()):
        paths = [entry["path"] for entry in group]
        originals = [path for path in paths if path in is_stored]
        for path in paths:
            if path in found and originals:
                found[path] = originals[0]
    return found


def tongkuan(stored, queries, folder, binary):
    home, by_name = folder / "home", {Path(path).name: path for path in stored}
    environment = {**os.environ, "RAYON_NUM_THREADS": "2"}

    def check(paths, *options):
        command = [binary, "check", "--home", str(home), "--json", *options, "-"]
        listed = "".join(path + "\n" for path in paths)
        done = subprocess.run(command, input=listed, capture_output=True, text=True, env=environment, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    check(stored, "--add")
    lines = check(queries)
    # Without --add, a later copy is seen as an earlier one of the run: both are copies of the same stored one, or of none.
    found = {}
    for path, line in zip(queries, lines, strict=True):
        earlier = found.get(queries[line["matched_row"]]) if line.get("matched_row") is not None else None
        found[path] = (by_name.get(line.get("matched_label")) or earlier) if line["outcome"] == "seen" else None
    return found


def peer(name, folder, binary):
    """Runs in a process of its own."""
    spec = json.loads((folder / "spec.json").read_text())
    work = folder / f"work-{name}"
    work.mkdir()
    run = {
        "tongkuan": lambda *given: tongkuan(*given, binary),
        "pdq": pdq,
        "phash": lambda *given: imagededup(*given, "PHash"),
        "cnn": lambda *given: imagededup(*given, "CNN"),
        "fastdup": fastdup,
        "czkawka": czkawka,
    }[name]
    start = time.perf_counter()
    found = run(spec["stored"], spec["queries"], work)
    (folder / f"{name}.json").write_text(json.dumps({"seconds": time.perf_counter() - start, "found": found}))
    shutil.rmtree(work)


def environment(names):
    """The interpreter that has the packages of these peers, and the peers that cannot be had."""
    venv = Path(os.environ.get("TONGKUAN_PEERS_VENV", HERE / ".venv-check"))
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    missing = {}
    for name in names:
        if packages := PACKAGES.get(name):
            command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                missing[name] = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    if "czkawka" in names and not shutil.which("czkawka_cli"):
        missing["czkawka"] = "czkawka_cli is not on the path"
    return python, missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--queries", type=int, default=1200)
    parser.add_argument("--only", action="append", choices=PEERS)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    binary = str(args.binary.resolve())
    if args.peer:
        return peer(args.peer, args.folder, binary)
    names = args.only or PEERS
    python, missing = environment(names)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        made = folder / "made"
        command = [binary, "eval", "--make", args.folder, "--out", made, "--seed", str(SEED)]
        subprocess.run([*command, "--limit", str(args.pictures)], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in (made / "manifest.ndjson").read_text().splitlines()]
        # An item may be stored in several pictures; the right one is any of its own.
        item_of = {str(made / row["path"]): row["item"] for row in rows if row["role"] == "reference"}
        stored, items = list(item_of), set(item_of.values())
        queries = [row for row in rows if row["role"] == "query" and (row.get("edit") or row.get("negative"))]
        random.Random(SEED).shuffle(queries)
        queries = queries[: args.queries]
        paths = [str(made / row["path"]) for row in queries]
        (folder / "spec.json").write_text(json.dumps({"stored": stored, "queries": paths}))
        print(f"{len(stored)} stored, {len(paths)} queries; load {os.getloadavg()}")
        print("| | pictures a second | CPU ms a picture | peak, MB | whole copies found | all copies found | wrong picture | not stored, found | other colours and goods, found |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name in names:
            if name in missing:
                print(f"| {name} | not run: {missing[name]} |")
                continue
            process = subprocess.Popen([python, __file__, str(folder), "--peer", name, "--binary", binary], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            errors = process.stderr.read().decode()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                print(f"| {name} | failed: {(errors.strip().splitlines() or ['?'])[-1]} |")
                continue
            result = json.loads((folder / f"{name}.json").read_text())
            counts = collections.Counter()
            for row, path in zip(queries, paths, strict=True):
                found, item = result["found"].get(path), row.get("item")
                kind = "composite" if row.get("edit") in COMPOSITES else "whole"
                if item not in items or row.get("negative"):
                    kind, item = "alike" if row.get("negative") else "unseen", None
                counts[kind] += 1
                counts[kind, "right" if item and item_of.get(found) == item else "wrong"] += found is not None
            share = lambda part, of: f"{100 * part / max(of, 1):.1f} %"  # noqa: E731
            copies = counts["whole"] + counts["composite"]
            right = counts["whole", "right"] + counts["composite", "right"]
            wrong = counts["whole", "wrong"] + counts["composite", "wrong"]
            pictures = len(stored) + len(paths)
            cpu = usage.ru_utime + usage.ru_stime
            print(
                f"| {name} | {pictures / result['seconds']:.1f} | {cpu / pictures * 1e3:.1f} | {usage.ru_maxrss / 1e3:.0f} "
                f"| {share(counts['whole', 'right'], counts['whole'])} | {share(right, copies)} | {share(wrong, copies)} "
                f"| {share(counts['unseen', 'wrong'], counts['unseen'])} | {share(counts['alike', 'wrong'], counts['alike'])} |",
                flush=True,
            )
    return None


if __name__ == "__main__":
    main()
