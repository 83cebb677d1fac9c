#!/usr/bin/env python3
"""The index beside hnswlib, usearch, faiss and hnsw_rs, on the same vectors, in one run.

    python3 benches/peers/run.py            # needs cargo and pip; prints a table in Markdown
    TONGKUAN_PEERS_VECTORS=200000 TONGKUAN_PEERS_WITHOUT=hnsw_rs python3 benches/peers/run.py
    TONGKUAN_PEERS_FROM=FOLDER python3 benches/peers/run.py    # vectors and queries made by embed.py

50,000 (or that many) vectors of 256 numbers in clusters of 20 (seeded, made by `benches/peers/main.rs`), 1000 near copies as
queries, 16 links, 200 places while building. Built on two threads, asked on one. Each library runs in a process of
its own; its memory is what that process grew by. Recall is against a comparison of every pair. Beside each time
stands processor time, which a busy machine changes less. A second table says what both recalls of 0.99 cost.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = ["numpy==2.4.6", "hnswlib==0.8.0", "usearch==2.26.6", "faiss-cpu==1.15.1"]
BREADTHS = [10, 12, 16, 24, 32, 48, 64, 96, 128, 192]
# The recall at which times are compared.
WANTED = 0.99
WITHOUT = os.environ.get("TONGKUAN_PEERS_WITHOUT", "").split(",")
PEERS = [name for name in ["usearch-i8", "hnswlib", "faiss-sq8"] if name not in WITHOUT]
K, ROUNDS, LINKS, EF_CONSTRUCTION = 10, 5, 16, 200


def processor_time():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def measure(name, folder, vectors, queries, build, search):
    before, start, cpu = resident(), time.perf_counter(), processor_time()
    index = build(vectors)
    result = {"name": name, "build_s": time.perf_counter() - start, "build_cpu_s": processor_time() - cpu}
    search(index, queries, BREADTHS[0])
    result["bytes"] = (resident() - before) // len(vectors)
    result["rows"] = []
    for ef in BREADTHS:
        times, cpu = [], processor_time()
        for _ in range(ROUNDS):
            start = time.perf_counter()
            found = search(index, queries, ef)
            times.append((time.perf_counter() - start) * 1e3 / len(queries))
        cpu = (processor_time() - cpu) * 1e3 / (ROUNDS * len(queries))
        row = {"ef": ef, "query_ms": sorted(times)[ROUNDS // 2], "query_cpu_ms": cpu, "found": found.tolist()}
        result["rows"].append(row)
    (folder / f"{name}.json").write_text(json.dumps(result))


def peer(name, folder):
    """Runs in the virtual environment."""
    import numpy as np

    vectors = np.fromfile(folder / "vectors.f32", dtype="<f4").reshape(-1, 256)
    queries = np.fromfile(folder / "queries.f32", dtype="<f4").reshape(-1, 256)
    if name == "hnswlib":
        import hnswlib

        def build(vectors):
            index = hnswlib.Index(space="ip", dim=256)
            index.init_index(len(vectors), M=LINKS, ef_construction=EF_CONSTRUCTION)
            index.add_items(vectors, num_threads=2)
            return index

        def search(index, queries, ef):
            index.set_ef(ef)
            return index.knn_query(queries, k=K, num_threads=1)[0]

    elif name == "usearch-i8":
        from usearch.index import Index

        def build(vectors):
            index = Index(
                ndim=256, metric="cos", dtype="i8", connectivity=LINKS, expansion_add=EF_CONSTRUCTION
            )
            index.add(np.arange(len(vectors)), vectors, threads=2)
            return index

        def search(index, queries, ef):
            index.expansion_search = ef
            return index.search(queries, K, threads=1).keys

    elif name == "faiss-sq8":
        import faiss

        def build(vectors):
            faiss.omp_set_num_threads(2)
            index = faiss.IndexHNSWSQ(
                256, faiss.ScalarQuantizer.QT_8bit, LINKS, faiss.METRIC_INNER_PRODUCT
            )
            index.hnsw.efConstruction = EF_CONSTRUCTION
            index.train(vectors)
            index.add(vectors)
            return index

        def search(index, queries, ef):
            faiss.omp_set_num_threads(1)
            index.hnsw.efSearch = ef
            return index.search(queries, K)[1]

    elif name == "truth":
        best = []
        for query in queries:
            scores = vectors @ query
            some = np.argpartition(-scores, K)[:K]
            best.append(some[np.argsort(-scores[some], kind="stable")])
        np.save(folder / "truth.npy", np.stack(best))
        return
    elif name == "table":
        print(table(folder, np.load(folder / "truth.npy")))
        return
    measure(name, folder, vectors, queries, build, search)


def reached(rows):
    """The time of a query at which both recalls are as wanted, on the line between two breadths; None beyond them."""
    before = None
    for now in rows:
        if now["recall"] >= WANTED:
            if before is None:
                return now["query_ms"]
            part = (WANTED - before["recall"]) / (now["recall"] - before["recall"])
            return before["query_ms"] + part * (now["query_ms"] - before["query_ms"])
        before = now
    return None


def table(folder, truth):
    lines = ["| index | build, 2 threads (processor) | bytes a vector | ef | recall@1 | recall@10 | a query (processor) |"]
    lines.append("|---|---|---|---|---|---|---|")
    compared = ["", f"| index | recall@1 and recall@10 of {WANTED} |", "|---|---|"]
    for name in ["tongkuan", *PEERS, *({"hnsw_rs"} - set(WITHOUT))]:
        result = json.loads((folder / f"{name}.json").read_text())
        for row in result["rows"]:
            found = row["found"]
            first = sum(f[:1] == [t[0]] for f, t in zip(found, truth.tolist())) / len(truth)
            ten = sum(len(set(f) & set(t)) for f, t in zip(found, truth.tolist())) / truth.size
            row["recall"] = min(first, ten)
            head = f"| {name} | {result['build_s']:.1f} s ({result['build_cpu_s']:.1f} s) | {result['bytes']} "
            if row is not result["rows"][0]:
                head = "| | | "
            lines.append(
                f"{head}| {row['ef']} | {first:.3f} | {ten:.4f} | {row['query_ms']:.4f} ms"
                f" ({row['query_cpu_ms']:.3f} ms) |"
            )
        time_ms = reached(result["rows"])
        compared.append(f"| {name} | {'not reached' if time_ms is None else f'{time_ms:.4f} ms'} |")
    return "\n".join(lines + compared)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        python = venv / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        environment = {**os.environ, "TONGKUAN_PEERS_FOLDER": str(folder)}
        # First everything is built, so that no compiler runs beside a measurement.
        cargo = ["cargo", "build", "--release", "--manifest-path", HERE / "hnsw_rs" / "Cargo.toml"]
        target = ROOT / "target" / "peers"
        if "hnsw_rs" not in WITHOUT:
            subprocess.run([*cargo, "--target-dir", target], check=True)
        bench = ["cargo", "bench", "--bench", "peers"]
        subprocess.run([*bench, "--no-run"], cwd=ROOT, check=True)
        subprocess.run(bench, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
        for name in [*PEERS, "truth"]:
            subprocess.run([python, __file__, name, folder], check=True)
        if "hnsw_rs" not in WITHOUT:
            subprocess.run([target / "release" / "peer-hnsw-rs", folder], check=True)
        subprocess.run([python, __file__, "table", folder], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        peer(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
