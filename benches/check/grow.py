#!/usr/bin/env python3
"""Fill a home with made-up pictures, to see what a check costs as it grows.

    tongkuan check --add --home HOME pictures/ > /dev/null         # some real ones to begin with
    python3 benches/check/grow.py HOME/catalog.sqlite --to 100000
    tongkuan check --home HOME --log info new-pictures/            # times, processor time and memory of this

Each made-up picture has the vector of two real ones and noise, mixed so that its nearest real one has a cosine of about 0.6, and
the sketch of a real one whose thumbnail is shifted, so that it has another hash and other corners than its own picture would have.
Only for measuring: what is found in such a home means nothing. Writes the catalogue directly (docs/formats.md); the index and the
hashes follow when it is opened. Needs numpy.
"""

import argparse
import os
import sqlite3
import zlib
from pathlib import Path

import numpy as np

SEED, BATCH = 1688, 5000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--to", type=int, required=True, help="so many pictures in all")
    args = parser.parse_args()
    rng = np.random.default_rng(SEED)
    store = sqlite3.connect(args.catalogue)
    rows = store.execute("SELECT vector, sketch FROM embeddings JOIN sketches USING (photo_id) ORDER BY photo_id LIMIT 2000").fetchall()
    vectors = np.stack([np.frombuffer(vector, "<f4") for vector, _ in rows])
    sketches = [np.frombuffer(sketch, np.uint8) for _, sketch in rows]
    there, newest = store.execute("SELECT count(*), max(photo_id) FROM photos").fetchone()
    while there < args.to:
        count = min(BATCH, args.to - there)
        one, other = rng.integers(len(rows), size=(2, count))
        noise = rng.normal(size=(count, vectors.shape[1])) / np.sqrt(vectors.shape[1])
        mixed = vectors[one] * 0.7 + vectors[other] * 0.5 + noise * 0.8
        mixed = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype("<f4")
        photos, digests, embeddings, pictures = [], [], [], []
        for place in range(count):
            newest += 1
            sketch = sketches[int(rng.integers(len(rows)))].copy()
            pixels = int(sketch[1]) * int(sketch[2])
            sketch[4 : 4 + pixels] = np.roll(sketch[4 : 4 + pixels], int(rng.integers(pixels)))
            sketch, vector = sketch.tobytes(), mixed[place].tobytes()
            photos.append((newest, "query", f"made-up {newest}", os.urandom(32), 560, 560, "jpeg", 0, 2))
            digests.append((os.urandom(32), newest))
            embeddings.append((newest, vector, zlib.crc32(vector)))
            pictures.append((newest, sketch, zlib.crc32(sketch)))
        with store:
            store.executemany("INSERT INTO photos VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", photos)
            store.executemany("INSERT INTO photo_bytes VALUES (?, ?)", digests)
            store.executemany("INSERT INTO embeddings VALUES (?, ?, ?)", embeddings)
            store.executemany("INSERT INTO sketches VALUES (?, ?, ?)", pictures)
        there += count
        print(there, end="\r", flush=True)
    print(f"{there} pictures")


if __name__ == "__main__":
    main()
