#!/usr/bin/env python3
"""`tongkuan check` beside other finders of duplicates, on the same pictures, in one run.

    cargo build --release
    python3 benches/peers/check.py FOLDER --binary target/release/tongkuan --pictures 200
    python3 benches/peers/check.py FOLDER --only pdq --only phash      # some of them
    python3 benches/peers/check.py --install                             # only install what is missing

Installs what is missing, in the versions below, each peer in a virtual environment of its own (their numpy and OpenCV exclude one another)
under TONGKUAN_PEERS_VENV, else beside this file: pdqhash (builds with a C++ compiler), imagehash, imagededup (PHash, and CNN; both bring
torch, some GB, and CNN fetches the weights of MobileNetV3), fastdup, and the Python package of czkawka, which is by others. czkawka's own
program runs where `czkawka_cli` is on the path or was built here by `--build` (a quarter of an hour on two cores). What cannot be
installed is said and left out. `--install` does that alone, so that nothing is fetched while figures are taken.

A set is made by `tongkuan eval --make`: half of the pictures are stored, copies of them in twelve ways must be found, and copies of
the other half must not. Each peer uses the threshold that it has by default, or that it recommends:

    pdq            31 of 256 bits; queries in all eight ways of turning and mirroring
    imagehash      pHash, 10 of 64 bits, as imagededup has it
    phash, cnn     imagededup: 10 of 64 bits; cosine 0.9
    fastdup        cosine 0.9
    czkawka        as its program has it: gradients, 5 of 256 bits, but small files too, and nothing cached
    czkawka-py     hashes of 64 bits, of which up to 10 are recommended

Everything runs on two threads or one, as the peer does by itself; the time is that of reading and comparing all of it, start included.
Shown are medians of `--rounds`: pictures a second, processor time a picture, peak memory (of the largest process, where there are
several), the share of copies of which the right original is found, of whole-picture copies and of all, and the share of
pictures that are not stored of which something is found, alone and of those made to look like a stored one (another colour,
other goods in its place). Behind the last two stands what is not exceeded with 95 % certainty (Clopper and Pearson, one-sided).
"""

import argparse
import base64
import collections
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "benches"))

import measuring

SEED = 1688
COMPOSITES = {"collage", "scene", "poster"}
# Which environment, and what is in it.
PACKAGES = {
    "pdq": ("pdq", ["pdqhash==0.2.8", "opencv-python-headless==5.0.0.93"]),
    "imagehash": ("imagehash", ["ImageHash==4.3.2"]),
    "phash": ("imagededup", ["imagededup==0.3.3.post2"]),
    "cnn": ("imagededup", ["imagededup==0.3.3.post2"]),
    "fastdup": ("fastdup", ["fastdup==2.54"]),
    "czkawka-py": ("czkawka", ["czkawka==0.1.2", "numpy"]),
}
CZKAWKA = "12.0.2"
PEERS = ["tongkuan", "pdq", "imagehash", "phash", "cnn", "fastdup", "czkawka", "czkawka-py"]


def nearest(hashes, stored, asked, most):
    """The stored picture whose hash is the nearest, of rows of bits, if it is no further than `most` bits."""
    apart = (hashes != asked).sum(1)
    return stored[int(apart.argmin())] if apart.min() <= most else None


def pdq(stored, queries, _):
    import cv2
    import numpy as np
    import pdqhash

    def of(path):
        return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)

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
    is_stored, found = set(stored), {}
    stored_names = {name for name, path in names.items() if path in is_stored}
    for name, path in names.items():
        if path not in is_stored:
            mine = [(score, other) for other, score in near[name] if other in stored_names]
            best = (min if method == "PHash" else max)(mine, default=None)
            found[path] = names[best[1]] if best else None
    return found


def imagehash(stored, queries, _):
    import imagehash as library
    import numpy as np
    from PIL import Image

    def of(path):
        with Image.open(path) as picture:
            return library.phash(picture).hash.ravel()

    hashes = np.array([of(path) for path in stored])
    return {path: nearest(hashes, stored, of(path), 10) for path in queries}


def fastdup(stored, queries, folder):
    import fastdup as library

    listed = folder / "list.txt"
    listed.write_text("\n".join([*stored, *queries]) + "\n")
    work = folder / "work"
    library.run(str(listed), work_dir=str(work), threshold=0.9, nearest_neighbors_k=5, num_threads=2)
    names = [row["filename"] for row in csv.DictReader((work / "atrain_features.dat.csv").open())]
    found, is_stored = {path: (0.0, None) for path in queries}, set(stored)
    for row in csv.DictReader((work / "similarity.csv").open()):
        # Numbers of rows in its first versions, names in those of now.
        pair = [names[int(row[end])] if row[end].isdigit() else row[end] for end in ("from", "to")]
        for one, other in (pair, pair[::-1]):
            if one in found and other in is_stored and float(row["distance"]) > found[one][0]:
                found[one] = (float(row["distance"]), other)
    return {path: best for path, (_, best) in found.items()}


def czkawka(stored, queries, folder):
    out = folder / "groups.json"
    folders = sorted({str(Path(path).parent) for path in [*stored, *queries]})
    named = [part for one in folders for part in ("-d", one)]
    command = [czkawka_program(), "image", *named, "-m", "1", "-H", "-N", "-W", "-C", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if not out.exists():
        sys.exit(f"czkawka_cli: {done.returncode} {done.stderr.strip()[-300:]}")
    found, is_stored = dict.fromkeys(queries), set(stored)
    for group in json.loads(out.read_text()):
        paths = [entry["path"] for entry in group]
        originals = [path for path in paths if path in is_stored]
        for path in paths:
            if path in found and originals:
                found[path] = originals[0]
    return found


def czkawka_python(stored, queries, _):
    import numpy as np
    from czkawka import ImageSimilarity

    finder = ImageSimilarity()

    def of(path):
        text = finder.hash_image(path)
        return np.unpackbits(np.frombuffer(base64.b64decode(text + "=" * (-len(text) % 4)), np.uint8))

    hashes = np.array([of(path) for path in stored])
    return {path: nearest(hashes, stored, of(path), 10) for path in queries}


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
        "imagehash": imagehash,
        "czkawka": czkawka,
        "czkawka-py": czkawka_python,
    }[name]
    start = time.perf_counter()
    found = run(spec["stored"], spec["queries"], work)
    (folder / f"{name}.json").write_text(json.dumps({"seconds": time.perf_counter() - start, "found": found}))
    shutil.rmtree(work)


def environments():
    return Path(os.environ.get("TONGKUAN_PEERS_VENV", HERE / ".venv-check"))


def czkawka_program():
    return shutil.which("czkawka_cli", path=f"{environments() / 'czkawka-cli' / 'bin'}:{os.environ['PATH']}")


def install(names, builds):
    """The interpreters that have the packages of these peers, and why the others cannot be had."""
    pythons, missing = {}, {}
    for name in names:
        if name not in PACKAGES:
            pythons[name] = sys.executable
            continue
        venv, packages = environments() / PACKAGES[name][0], PACKAGES[name][1]
        pythons[name] = venv / "bin" / "python"
        if not pythons[name].exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        command = [pythons[name], "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            missing[name] = next((line for line in done.stderr.splitlines() if "ERROR" in line), "pip failed").strip()
    if "czkawka" in names and builds and not czkawka_program():
        command = ["cargo", "install", "czkawka_cli", "--version", CZKAWKA, "--locked", "--root", environments() / "czkawka-cli"]
        subprocess.run(command, check=False)
    if "czkawka" in names and not czkawka_program():
        missing["czkawka"] = "there is no czkawka_cli; --build makes it"
    return pythons, missing


def peer_once(name, python, binary, folder):
    """Seconds, processor seconds, peak bytes, and what was found, or why that failed."""
    command = [python, __file__, str(folder), "--peer", name, "--binary", binary]
    # Of two cores, whatever the machine has; fastdup sends reports of errors unless it is told not to.
    env = {**os.environ, "OMP_NUM_THREADS": "2", "RAYON_NUM_THREADS": "2", "SENTRY_OPT_OUT": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env)
    errors = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        shutil.rmtree(folder / f"work-{name}", ignore_errors=True)
        return None, (errors.strip().splitlines() or ["?"])[-1]
    result = json.loads((folder / f"{name}.json").read_text())
    return (result["seconds"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024), result["found"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help="the pictures")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "tongkuan")
    parser.add_argument("--pictures", type=int, default=200, help="so many of FOLDER make the set")
    parser.add_argument("--queries", type=int, default=1200, help="at most so many")
    parser.add_argument("--rounds", type=int, default=1, help="each runs all peers in turn")
    parser.add_argument("--only", action="append", choices=PEERS, help="some of the peers")
    parser.add_argument("--install", action="store_true", help="install what is missing, and end")
    parser.add_argument("--build", action="store_true", help="build czkawka's program as well, if it is missing")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    binary = str(args.binary.resolve())
    if args.peer:
        return peer(args.peer, args.folder, binary)
    names = args.only or PEERS
    pythons, missing = install(names, args.build)
    if args.install:
        print("\n".join(f"{name}: {missing.get(name, 'ready')}" for name in names))
        return None
    if not args.folder:
        parser.error("name a folder of pictures")
    print(measuring.facts(binary, 2))
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
        print(f"{len(stored)} stored, {len(paths)} queries\n", flush=True)
        taken, found_by, failed = collections.defaultdict(list), {}, dict(missing)
        for _ in range(args.rounds):
            for name in names:
                if name not in failed:
                    figures, found = peer_once(name, pythons[name], binary, folder)
                    if figures is None:
                        failed[name] = found
                    else:
                        taken[name].append(figures)
                        found_by[name] = found
        table = []
        for name in names:
            if name in failed:
                table.append([name, f"not run: {failed[name]}", *[""] * 7])
                continue
            counts = collections.Counter()
            for row, path in zip(queries, paths, strict=True):
                found, item = found_by[name].get(path), row.get("item")
                kind = "composite" if row.get("edit") in COMPOSITES else "whole"
                if item not in items or row.get("negative"):
                    kind, item = "alike" if row.get("negative") else "unseen", None
                counts[kind] += 1
                counts[kind, "right" if item and item_of.get(found) == item else "wrong"] += found is not None
            copies = counts["whole"] + counts["composite"]
            right = counts["whole", "right"] + counts["composite", "right"]
            wrong = counts["whole", "wrong"] + counts["composite", "wrong"]
            pictures = len(stored) + len(paths)
            seconds, cpu, peak = (statistics.median(figures) for figures in zip(*taken[name], strict=True))
            false = []
            for kind in ("unseen", "alike"):
                most = measuring.upper_bound(counts[kind, "wrong"], counts[kind])
                false.append(f"{measuring.share(counts[kind, 'wrong'], counts[kind])} (at most {100 * most:.1f})")
            table.append([
                name, f"{pictures / seconds:.1f}", f"{cpu / pictures * 1e3:.1f}", f"{peak / 1e6:.0f}",
                measuring.share(counts["whole", "right"], counts["whole"]), measuring.share(right, copies), measuring.share(wrong, copies), *false])
        measuring.table(["", "pictures a second", "CPU ms a picture", "peak, MB", "whole copies found", "all copies found", "wrong picture",
                         "not stored, found", "other colours and goods, found"], table)
        print(measuring.load())
    return None


if __name__ == "__main__":
    main()
