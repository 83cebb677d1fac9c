"""Export EfficientNet-Lite0 + GeM (+ projection) to one ONNX file.

Steps: load the weights, fold batch normalisation into the convolutions, cut the classifier,
pool the last feature map with GeM (p = 3), normalise, centre and project, normalise again.

The projection is fitted once on unlabelled pictures and stored as `projection.npz` beside
the model, so that the file can be exported again without those pictures. The thresholds of
an existing manifest are kept: choose them anew with evaluate.py after a new fit.

Examples
  Export again from the committed projection:
    python models/export.py
  Fit the projection anew, then export:
    python models/export.py --fit train-0.tar train-1.tar train-2.tar
  Export the plain 1280 GeM features:
    python models/export.py --head none --out /tmp/raw --name raw-gem
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import pictures
import weights

HERE = Path(__file__).resolve().parent
OPSET = 17
IR_VERSION = 8
GEM_P = 3.0
GEM_FLOOR = 1e-6
NAME = "efficientnet-lite0-gem"
VERSION = "1"


def fold(kernel, tensors, norm):
    """Fold a batch normalisation into the convolution before it."""
    scale = tensors[f"{norm}.weight"].astype(np.float64) / np.sqrt(
        tensors[f"{norm}.running_var"].astype(np.float64) + weights.BN_EPSILON
    )
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return (kernel * scale[:, None, None, None]).astype(np.float32), bias.astype(np.float32)


class Graph:
    def __init__(self):
        self.nodes, self.initialisers = [], []

    def constant(self, name, values):
        self.initialisers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, name, kernel, bias, size, stride, groups, activate):
        """Convolution with TensorFlow's SAME padding for the fixed input size."""
        k = kernel.shape[2]
        pad = max((-(-size // stride) - 1) * stride + k - size, 0)
        before, after = pad // 2, pad - pad // 2
        x = self.node(
            "Conv",
            [x, self.constant(f"{name}.weight", kernel), self.constant(f"{name}.bias", bias)],
            name,
            kernel_shape=[k, k],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        return self.node("Clip", [x, "zero", "six"], f"{name}.relu6") if activate else x


def features(graph, tensors):
    """Append the backbone up to the last feature map, [N, 1280, 7, 7]."""
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    size = pictures.SIZE
    kernel, bias = fold(tensors["_conv_stem.weight"], tensors, "_bn0")
    x = graph.conv("pixels", "stem", kernel, bias, size, 2, 1, True)
    size //= 2
    for index, _, stride, expansion, cin, cout in weights.blocks():
        source, prefix, name = x, f"_blocks.{index}", f"block{index}"
        if expansion != 1:
            kernel, bias = fold(tensors[f"{prefix}._expand_conv.weight"], tensors, f"{prefix}._bn0")
            x = graph.conv(x, f"{name}.expand", kernel, bias, size, 1, 1, True)
        kernel, bias = fold(tensors[f"{prefix}._depthwise_conv.weight"], tensors, f"{prefix}._bn1")
        x = graph.conv(x, f"{name}.depthwise", kernel, bias, size, stride, cin * expansion, True)
        size //= stride
        kernel, bias = fold(tensors[f"{prefix}._project_conv.weight"], tensors, f"{prefix}._bn2")
        x = graph.conv(x, f"{name}.project", kernel, bias, size, 1, 1, False)
        if stride == 1 and cin == cout:
            x = graph.node("Add", [x, source], f"{name}.add")
    kernel, bias = fold(tensors["_conv_head.weight"], tensors, "_bn1")
    return graph.conv(x, "head", kernel, bias, size, 1, 1, True)


def normalise(graph, x, output):
    norm = graph.node("ReduceL2", [x], f"{output}.norm", axes=[1], keepdims=1)
    safe = graph.node("Max", [norm, "tiny"], f"{output}.safe")
    return graph.node("Div", [x, safe], output)


def build(head=None, unit=True) -> onnx.ModelProto:
    """Build the model. `head` is None or {"mean": [1280], "matrix": [1280, D]}."""
    graph = Graph()
    x = features(graph, weights.load())
    graph.constant("gem.floor", np.float32(GEM_FLOOR))
    graph.constant("gem.root", np.float32(1 / GEM_P))
    x = graph.node("Max", [x, "gem.floor"], "gem.clamped")
    square = graph.node("Mul", [x, x], "gem.square")
    cube = graph.node("Mul", [square, x], "gem.cube")
    x = graph.node("ReduceMean", [cube], "gem.mean", axes=[2, 3], keepdims=0)
    dimension = weights.FEATURES
    if not unit:
        graph.node("Pow", [x, "gem.root"], "embedding")
    else:
        graph.constant("tiny", np.float32(1e-12))
        x = graph.node("Pow", [x, "gem.root"], "gem")
        if head is None:
            normalise(graph, x, "embedding")
        else:
            x = normalise(graph, x, "gem.unit")
            x = graph.node(
                "Sub", [x, graph.constant("head.mean", head["mean"].astype(np.float32))], "centred"
            )
            matrix = graph.constant("head.matrix", head["matrix"].astype(np.float32))
            x = graph.node("MatMul", [x, matrix], "projected")
            normalise(graph, x, "embedding")
            dimension = head["matrix"].shape[1]
    side = pictures.SIZE
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tongkuan_embedding",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, side, side])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", dimension])],
            graph.initialisers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="tongkuan models/export.py",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def session(model, threads=1):
    """Open a model (bytes, or a path) in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def unit_rows(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def gem_of(stream, run, how, filter_name, batch=16):
    """Return the raw GeM features [n, 1280] of a stream of RGB pictures."""
    rows, pending = [], []

    def flush():
        if pending:
            rows.append(run.run(None, {"pixels": np.stack(pending)})[0])
            pending.clear()

    for picture in stream:
        pending.append(pictures.to_pixels(pictures.resize(picture, how, filter_name)))
        if len(pending) == batch:
            flush()
    flush()
    return np.concatenate(rows)


def training_features(tars, how, filter_name, seed):
    """GeM features of the training pictures, two edits and a recolour of every third one.

    Returns (features, meta): meta rows are (picture, edit), edit -1 for the picture itself and
    100 for the recoloured one.
    """
    import edits

    rng = np.random.default_rng(seed)
    names = list(edits.HEAVY)
    meta = []

    def stream():
        for i, (_, picture) in enumerate(pictures.from_tars(tars)):
            meta.append((i, -1))
            yield picture
            if i % 3 == 0:
                for k in rng.choice(len(names), 2, replace=False):
                    meta.append((i, int(k)))
                    yield edits.apply(names[k], picture, rng)
                other = edits.recolour(picture, rng)
                if other is not None:
                    meta.append((i, 100))
                    yield edits.jpeg(other, 88)
            if i % 1000 == 0:
                print(f"{i} pictures", file=sys.stderr, flush=True)

    run = session(build(unit=False).SerializeToString())
    return gem_of(stream(), run, how, filter_name), np.array(meta)


def signed(vectors):
    """Give every column a fixed sign, so that a fit is repeatable."""
    rows = np.abs(vectors).argmax(0)
    return vectors * np.sign(vectors[rows, np.arange(vectors.shape[1])])


def top(covariance, dimension):
    values, vectors = np.linalg.eigh(covariance)
    return values[::-1][:dimension], signed(vectors[:, ::-1][:, :dimension])


def fit(features, meta, kind, dimension, shrink):
    """Fit mean and matrix on unit GeM features.

    pca         centre, principal axes
    pca-whiten  centre, principal axes scaled to unit variance
    edit        centre, whiten what edits change (picture minus edited picture, shrunk towards
                the identity), then principal axes
    """
    x = unit_rows(features.astype(np.float64))
    originals = meta[:, 1] == -1
    base = x[originals]
    mean = base.mean(0)
    covariance = np.cov(base - mean, rowvar=False)
    if kind == "edit":
        edited = (meta[:, 1] >= 0) & (meta[:, 1] < 100)
        where = {picture: row for row, picture in enumerate(meta[originals, 0])}
        change = x[edited] - base[[where[p] for p in meta[edited, 0]]]
        within = change.T @ change / len(change)
        within += shrink * np.trace(within) / len(within) * np.eye(len(within))
        values, vectors = np.linalg.eigh(within)
        whiten = vectors @ np.diag(values**-0.5) @ vectors.T
        _, axes = top(whiten @ covariance @ whiten, dimension)
        matrix = whiten @ axes
    else:
        values, matrix = top(covariance, dimension)
        if kind == "pca-whiten":
            matrix = matrix / np.sqrt(values)
    matrix = matrix / np.sqrt((matrix**2).sum(0).mean())  # any scale: the output is normalised
    return {"mean": mean.astype(np.float32), "matrix": matrix.astype(np.float32)}


def self_check(data, head):
    """The ONNX file must agree with the same head computed in float64."""
    rng = np.random.default_rng(1)
    side = pictures.SIZE
    pixels = rng.uniform(-1, 1, (3, 3, side, side)).astype(np.float32)
    expected = unit_rows(session(build(unit=False).SerializeToString()).run(None, {"pixels": pixels})[0].astype(np.float64))
    if head is not None:
        expected = unit_rows((expected - head["mean"]) @ head["matrix"])
    got = session(data).run(None, {"pixels": pixels})[0]
    worst = float((expected * got).sum(1).min())
    if worst < 0.99999 or abs(np.linalg.norm(got, axis=1) - 1).max() > 1e-5:
        raise SystemExit(f"the exported model disagrees with its parts: cosine {worst}")
    return worst


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", nargs="+", metavar="TAR",
                        help="fit the projection on the pictures in these tar files (order matters)")
    parser.add_argument("--head", choices=("pca", "pca-whiten", "edit", "none"), default="edit",
                        help="which projection --fit fits; `none` exports 1280 features (default: %(default)s)")
    parser.add_argument("--dimension", type=int, default=256, help="output dimension (default 256)")
    parser.add_argument("--shrink", type=float, default=0.1, help="shrinkage of `edit` (default %(default)s)")
    parser.add_argument("--seed", type=int, default=20240607, help="seed of the edits (default %(default)s)")
    parser.add_argument("--resize", choices=pictures.RESIZES, default="pad", help="default: %(default)s")
    parser.add_argument("--filter", choices=tuple(pictures.FILTERS), default="bilinear", help="default: %(default)s")
    parser.add_argument("--fit-resize", choices=pictures.RESIZES, default="squash",
                        help="how --fit resizes; squash lets no white margin into the fit (default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep the training features in this .npz")
    parser.add_argument("--out", type=Path, default=HERE / NAME, metavar="DIR",
                        help="folder for model.onnx, projection.npz and manifest.json (default: %(default)s)")
    parser.add_argument("--name", default=NAME, help="name in the manifest (default: %(default)s)")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    stored = args.out / "projection.npz"
    if args.head == "none":
        head = None
    elif args.fit:
        if args.cache and args.cache.exists():
            with np.load(args.cache) as saved:
                features_, meta = saved["F"], saved["meta"]
        else:
            features_, meta = training_features(args.fit, args.fit_resize, args.filter, args.seed)
            if args.cache:
                np.savez(args.cache, F=features_, meta=meta)
        head = fit(features_, meta, args.head, args.dimension, args.shrink)
        np.savez(stored, **head)
    else:
        if not stored.exists():
            raise SystemExit(f"{stored} is missing: give --fit TAR..., or --head none")
        with np.load(stored) as arrays:
            head = {"mean": arrays["mean"], "matrix": arrays["matrix"]}

    data = build(head).SerializeToString(deterministic=True)
    worst = self_check(data, head)
    (args.out / "model.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    path = args.out / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    dimension = weights.FEATURES if head is None else int(head["matrix"].shape[1])
    manifest = {
        "format": 1,
        "name": args.name,
        "version": manifest.get("version", VERSION),
        "file": "model.onnx",
        "sha256": digest,
        "input": {
            "name": "pixels",
            "width_px": pictures.SIZE,
            "height_px": pictures.SIZE,
            "layout": "nchw",
            "mean": list(pictures.MEAN),
            "std": list(pictures.STD),
            "resize": args.resize,
            "filter": args.filter,
        },
        "output": {"name": "embedding", "dimension": dimension},
        "licence": "Apache-2.0",
        # Chosen by evaluate.py, kept when a model is exported again.
        "thresholds": manifest.get("thresholds", {"same_picture": 1.0, "review": 0.0}),
    }
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{args.out / 'model.onnx'}: {len(data)} bytes, dimension {dimension}, sha256 {digest}")
    print(f"agreement with its parts: cosine {worst:.7f} or better")


if __name__ == "__main__":
    main()
