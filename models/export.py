"""Export EfficientNet-Lite0 + GeM over windows + projection to one ONNX file of 8-bit integers.

Steps: load the weights, fold batch normalisation into the convolutions, cut the classifier,
round weights and activations to bytes, average the cubes of the last feature map over windows
and take the cube root (GeM, p = 3), normalise, centre and project, normalise again.

What was learnt from unlabelled pictures (the range of every activation, the projection) is
stored as `fitted.npz` beside the model, so that the file can be exported again without them. The
thresholds of an existing manifest are kept: choose them anew with evaluate.py after a new fit.

Examples
  Export again from what was fitted:
    python models/export.py
  Fit anew, then export:
    python models/export.py --fit train-0.tar train-1.tar train-2.tar
  With the layers that training/train.py trained:
    python models/export.py --fit train-0.tar train-1.tar train-2.tar --trained trained/trained.npz
  In 32-bit floats, without a projection:
    python models/export.py --head none --float --out /tmp/raw --name raw-gem
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before it is loaded: later switches come too late
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper

import pictures
import weights

HERE = Path(__file__).resolve().parent
OPSET = 17
IR_VERSION = 8
GEM_P = 3.0
GEM_FLOOR = 1e-6
CELL = 32  # pixels of the input to a cell of the last feature map
SECOND_LOOK = 448  # side of the input when parts of a picture are looked at
# Weights go up to 64 where pairs of products are summed in 16 bits on processors without VNNI:
# 2 * 255 * 64 fits, 2 * 255 * 127 would be cut off. Depthwise convolutions sum in 32 bits.
WEIGHT_MAX = {"dense": 64, "depthwise": 127}
CALIBRATION_STRIDE = 42  # every so manieth picture; of 12,600 they are 300
NAME = "efficientnet-lite0-gem"
VERSION = "3"


def fold(kernel, tensors, norm):
    """Fold a batch normalisation into the convolution before it."""
    scale = tensors[f"{norm}.weight"].astype(np.float64) / np.sqrt(
        tensors[f"{norm}.running_var"].astype(np.float64) + weights.BN_EPSILON
    )
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return (kernel * scale[:, None, None, None]).astype(np.float32), bias.astype(np.float32)


def folded(tensors, name):
    """(kernel, bias) of the convolution of this name in the graph: trained anew, or as its authors left it."""
    if f"{name}.kernel" in tensors:
        return tensors[f"{name}.kernel"], tensors[f"{name}.bias"]
    place, _, part = name.partition(".")
    if not part:
        return fold(tensors[f"_conv_{place}.weight"], tensors, {"stem": "_bn0", "head": "_bn1"}[place])
    prefix = f"_blocks.{place.removeprefix('block')}"
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return fold(tensors[f"{prefix}._{part}_conv.weight"], tensors, f"{prefix}.{norm}")


@dataclass
class Fitted:
    """What was learnt from pictures; the backbone as its authors left it, in floats, without a head, if nothing was."""

    head: dict | None = None  # {"mean": [1280], "matrix": [1280, D]}
    ranges: dict | None = None  # {activation: (low, high)}
    trained: dict = field(default_factory=dict)  # {"LAYER.kernel", "LAYER.bias": folded, as training/train.py left them}

    def tensors(self):
        return {**weights.load(), **self.trained}

    def save(self, path):
        arrays = {**(self.head or {}), **self.trained}
        if self.ranges is not None:
            arrays["range_names"] = np.array(list(self.ranges))
            arrays["range_ends"] = np.array(list(self.ranges.values()), np.float64)
        np.savez(path, **arrays)

    @staticmethod
    def load(path):
        if not path.exists():
            raise SystemExit(f"{path} is missing: give --fit TAR..., or --head none --float")
        with np.load(path) as arrays:
            head = {"mean": arrays["mean"], "matrix": arrays["matrix"]} if "mean" in arrays else None
            ranges = None
            if "range_names" in arrays:
                ends = [(float(a), float(b)) for a, b in arrays["range_ends"]]
                ranges = dict(zip(arrays["range_names"].tolist(), ends))
            trained = {name: arrays[name] for name in arrays if name.endswith((".kernel", ".bias"))}
        return Fitted(head, ranges, trained)


def byte_scale(low, high):
    """(scale, zero point) that spread the bytes over `low` to `high`; zero is met exactly."""
    low, high = min(low, 0.0), max(high, 1e-6)
    scale = np.float32((high - low) / 255)
    return scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255))


def kernel_scale(kernel, groups):
    """float32 size of a step of each output channel's weights."""
    top = WEIGHT_MAX["dense" if groups == 1 else "depthwise"]
    return np.maximum(np.abs(kernel).max((1, 2, 3)), 1e-12).astype(np.float32) / np.float32(top)


class Graph:
    """Nodes and constants so far. With `ranges` (activation: (low, high)) everything is bytes."""

    def __init__(self, ranges=None):
        self.nodes, self.initialisers, self.ranges = [], [], ranges
        self.activations = []

    def constant(self, name, values):
        self.initialisers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def activation(self, x):
        """Round `x` to bytes, if this graph does."""
        self.activations.append(x)
        if self.ranges is None:
            return x
        scale, zero = byte_scale(*self.ranges[x])
        names = [self.constant(f"{x}.scale", scale), self.constant(f"{x}.zero", zero)]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, *names], f"{x}.bytes"), *names], f"{x}.rounded")

    def kernel(self, x, name, kernel, bias, groups):
        if self.ranges is None:
            return [self.constant(f"{name}.weight", kernel), self.constant(f"{name}.bias", bias)]
        step = byte_scale(*self.ranges[x.removesuffix(".rounded")])[0]
        # A channel of next to no weights lives by its bias, which must fit 32 bits, sums included.
        scale = np.maximum(kernel_scale(kernel, groups), np.abs(bias) / (step * np.float32(2**30)))
        whole = np.rint(kernel / scale[:, None, None, None]).astype(np.int8)
        bias_scale = scale * step
        whole_bias = np.rint(bias.astype(np.float64) / bias_scale).astype(np.int32)
        inputs = []
        for part, values, steps in (("weight", whole, scale), ("bias", whole_bias, bias_scale)):
            full = f"{name}.{part}"
            names = [
                self.constant(f"{full}.bytes", values),
                self.constant(f"{full}.scale", steps),
                self.constant(f"{full}.zero", np.zeros(len(steps), values.dtype)),
            ]
            inputs.append(self.node("DequantizeLinear", names, full, axis=0))
        return inputs

    def conv(self, x, name, kernel, bias, stride, groups, activate):
        """Convolution with TensorFlow's SAME padding for sides that are multiples of 32."""
        k = kernel.shape[2]
        pad = k - stride
        before, after = pad // 2, pad - pad // 2
        # Among bytes a range within 0 to 6 does what the clip does.
        clip = activate and self.ranges is None
        x = self.node(
            "Conv",
            [x, *self.kernel(x, name, kernel, bias, groups)],
            f"{name}.unclipped" if clip else name,
            kernel_shape=[k, k],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        if clip:
            x = self.node("Clip", [x, "zero", "six"], name)
        return self.activation(x)


def features(graph, tensors):
    """Append the backbone up to the last feature map, [N, 1280, height / 32, width / 32]."""
    if graph.ranges is None:
        graph.constant("zero", np.float32(0))
        graph.constant("six", np.float32(6))
    x = graph.activation("pixels")
    x = graph.conv(x, "stem", *folded(tensors, "stem"), 2, 1, True)
    for index, _, stride, expansion, cin, cout in weights.blocks():
        source, name = x, f"block{index}"
        if expansion != 1:
            x = graph.conv(x, f"{name}.expand", *folded(tensors, f"{name}.expand"), 1, 1, True)
        x = graph.conv(x, f"{name}.depthwise", *folded(tensors, f"{name}.depthwise"), stride, cin * expansion, True)
        x = graph.conv(x, f"{name}.project", *folded(tensors, f"{name}.project"), 1, 1, False)
        if stride == 1 and cin == cout:
            x = graph.activation(graph.node("Add", [x, source], f"{name}.add"))
    return graph.conv(x, "head", *folded(tensors, "head"), 1, 1, True)


def normalise(graph, x, output):
    norm = graph.node("ReduceL2", [x], f"{output}.norm", axes=[2], keepdims=1)
    safe = graph.node("Max", [norm, "tiny"], f"{output}.safe")
    return graph.node("Div", [x, safe], output)


def windowed(graph, x):
    """GeM over each row of `windows`, [R, cells]: the share that each cell has in it. [N, R, 1280]."""
    graph.constant("gem.floor", np.float32(GEM_FLOOR))
    graph.constant("gem.root", np.float32(1 / GEM_P))
    x = graph.node("Max", [x, "gem.floor"], "gem.clamped")
    square = graph.node("Mul", [x, x], "gem.square")
    cube = graph.node("Mul", [square, x], "gem.cube")
    # [N, 1280, h, w] to [N, cells, 1280]
    flat = graph.node("Reshape", [cube, graph.constant("gem.shape", np.array([0, 0, -1]))], "gem.flat")
    turned = graph.node("Transpose", [flat], "gem.turned", perm=[0, 2, 1])
    return graph.node("Pow", [graph.node("MatMul", ["windows", turned], "gem.mean"), "gem.root"], "gem")


def build(fitted, outputs=None) -> onnx.ModelProto:
    """Build the model.

    Without ranges it computes in 32-bit floats. With `outputs` it is the backbone alone and
    gives the activations of these names.
    """
    graph = Graph(fitted.ranges)
    x = features(graph, fitted.tensors())
    given = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, "height", "width"])]
    if outputs is not None:
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", f"{n}.c", f"{n}.h", f"{n}.w"]) for n in outputs]
    else:
        graph.constant("tiny", np.float32(1e-12))
        given.append(helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["R", "cells"]))
        x, dimension = windowed(graph, x), weights.FEATURES
        head = fitted.head
        if head is None:
            normalise(graph, x, "embedding")
        else:
            x = normalise(graph, x, "gem.unit")
            x = graph.node("Sub", [x, graph.constant("head.mean", head["mean"].astype(np.float32))], "centred")
            matrix = graph.constant("head.matrix", head["matrix"].astype(np.float32))
            normalise(graph, graph.node("MatMul", [x, matrix], "projected"), "embedding")
            dimension = head["matrix"].shape[1]
        made = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", "R", dimension])]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "tongkuan_embedding", given, made, graph.initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="tongkuan models/export.py",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def whole(side=pictures.SIZE):
    """The one window that is the whole picture, [1, cells]."""
    cells = (side // CELL) ** 2
    return np.full((1, cells), 1 / cells, np.float32)


def embed(run, pixels):
    """Embeddings [N, D] of whole pictures, pixels [N, 3, SIZE, SIZE]."""
    return run.run(["embedding"], {"pixels": pixels, "windows": whole(pixels.shape[-1])})[0][:, 0]


def windows(side, cells, steps):
    """steps x steps windows of `cells` cells a side, evenly spread, [steps ** 2, all cells]."""
    n = side // CELL
    places = [round(i * (n - cells) / max(1, steps - 1)) for i in range(steps)]
    rows = np.zeros((steps * steps, n, n), np.float32)
    for i, (top, left) in enumerate((y, x) for y in places for x in places):
        rows[i, top : top + cells, left : left + cells] = 1 / cells**2
    return rows.reshape(len(rows), -1)


def halves(side):
    """Sixteen windows of half the side, [16, cells]; src/embed/windows.rs has the same ones."""
    return windows(side, side // CELL // 2, 4)


def embed_parts(run, pixels):
    """Embeddings [N, 16, D] of parts of pictures, pixels [N, 3, SECOND_LOOK, SECOND_LOOK]."""
    return run.run(["embedding"], {"pixels": pixels, "windows": halves(pixels.shape[-1])})[0]


def activations():
    """The names of everything that is rounded to bytes."""
    graph = Graph()
    features(graph, weights.load())
    return graph.activations


def ranges_of(tars, trained):
    """{activation: (low, high)} over pictures spread over `tars`.

    The least and the greatest value that any of them gave. Cutting off the outermost 1 % of the
    pictures' extremes found fewer scenes and posters: GeM lives on large values.
    """
    names = [name for name in activations() if name != "pixels"]
    run = session(build(Fitted(trained=trained), names).SerializeToString())
    ends = []
    for i, (_, picture) in enumerate(pictures.from_tars(tars)):
        if i % CALIBRATION_STRIDE:
            continue
        pixels = pictures.to_pixels(pictures.resize(picture, "pad", "bilinear"))[None]
        ends.append([(values.min(), values.max()) for values in run.run(names, {"pixels": pixels})])
    ends = np.array(ends)
    low, high = ends[..., 0].min(0), ends[..., 1].max(0)
    ends_of_pixels = tuple((v / 255 - pictures.MEAN[0]) / pictures.STD[0] for v in (0, 255))
    return {"pixels": ends_of_pixels, **{n: (float(a), float(b)) for n, a, b in zip(names, low, high)}}


def session(model, threads=1):
    """Open a model (bytes, or a path) in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def unit_rows(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def gem_of(stream, run, how, filter_name, batch=16):
    """Return the unit GeM features [n, 1280] of a stream of RGB pictures."""
    rows, pending = [], []

    def flush():
        if pending:
            rows.append(embed(run, np.stack(pending)))
            pending.clear()

    for picture in stream:
        pending.append(pictures.to_pixels(pictures.resize(picture, how, filter_name)))
        if len(pending) == batch:
            flush()
    flush()
    return np.concatenate(rows)


def training_features(tars, ranges, how, filter_name, seed):
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

    run = session(build(Fitted(None, ranges)).SerializeToString())
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


def self_check(data, fitted):
    """The ONNX file must agree with the same head computed in float64, over whole pictures and windows."""
    rng = np.random.default_rng(1)
    side = pictures.SIZE
    pixels = rng.uniform(-1, 1, (3, 3, side, side)).astype(np.float32)
    shares = rng.uniform(0, 1, (5, (side // CELL) ** 2)).astype(np.float32)
    shares /= shares.sum(1, keepdims=True)
    given = {"pixels": pixels, "windows": np.concatenate([whole(), shares])}
    features_only = session(build(replace(fitted, head=None)).SerializeToString())
    expected = features_only.run(None, given)[0].astype(np.float64)
    head = fitted.head
    if head is not None:
        expected = (expected - head["mean"]) @ head["matrix"]
        expected /= np.linalg.norm(expected, axis=2, keepdims=True)
    got = session(data).run(None, given)[0]
    worst = float((expected * got).sum(2).min())
    if worst < 0.99999 or abs(np.linalg.norm(got, axis=2) - 1).max() > 1e-5:
        raise SystemExit(f"the exported model disagrees with its parts: cosine {worst}")
    return worst


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", nargs="+", metavar="TAR",
                        help="fit ranges and projection on the pictures in these tar files (order matters)")
    parser.add_argument("--trained", type=Path, metavar="FILE",
                        help="with --fit: layers and projection from training/train.py; only the ranges are fitted")
    parser.add_argument("--float", action="store_true", help="export 32-bit floats instead of bytes")
    parser.add_argument("--head", choices=("pca", "pca-whiten", "edit", "none"), default="edit",
                        help="which projection to fit; `none` exports 1280 features (default: %(default)s)")
    parser.add_argument("--dimension", type=int, default=256, help="output dimension (default 256)")
    parser.add_argument("--shrink", type=float, default=0.1, help="shrinkage of `edit` (default %(default)s)")
    parser.add_argument("--seed", type=int, default=20240607, help="seed of the edits (default %(default)s)")
    parser.add_argument("--resize", choices=pictures.RESIZES, default="pad", help="default: %(default)s")
    parser.add_argument("--filter", choices=tuple(pictures.FILTERS), default="bilinear", help="default: %(default)s")
    parser.add_argument("--fit-resize", choices=pictures.RESIZES, default="squash",
                        help="how --fit resizes; squash lets no white margin into the fit (default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep the training features in this .npz")
    parser.add_argument("--out", type=Path, default=HERE / NAME, metavar="DIR",
                        help="folder for model.onnx, fitted.npz and manifest.json (default: %(default)s)")
    parser.add_argument("--name", default=NAME, help="name in the manifest (default: %(default)s)")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    stored = args.out / "fitted.npz"
    if args.trained:
        if not args.fit:
            parser.error("--trained needs --fit TAR..., for the ranges of the layers that were trained")
        with np.load(args.trained) as arrays:
            head = {name: arrays[name] for name in ("mean", "matrix")}
            trained = {name: arrays[name] for name in arrays if name not in head}
        fitted = Fitted(head, None if args.float else ranges_of(args.fit, trained), trained)
        fitted.save(stored)
    elif args.fit:
        ranges = None if args.float else ranges_of(args.fit, {})
        if args.cache and args.cache.exists():
            with np.load(args.cache) as saved:
                features_, meta = saved["F"], saved["meta"]
        else:
            features_, meta = training_features(args.fit, ranges, args.fit_resize, args.filter, args.seed)
            if args.cache:
                np.savez(args.cache, F=features_, meta=meta)
        head = None if args.head == "none" else fit(features_, meta, args.head, args.dimension, args.shrink)
        fitted = Fitted(head, ranges)
        fitted.save(stored)
    elif args.head == "none" and args.float:
        fitted = Fitted()
    else:
        fitted = Fitted.load(stored)
        fitted = Fitted(
            None if args.head == "none" else fitted.head, None if args.float else fitted.ranges, fitted.trained)

    data = build(fitted).SerializeToString(deterministic=True)
    worst = self_check(data, fitted)
    (args.out / "model.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    path = args.out / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    dimension = weights.FEATURES if fitted.head is None else int(fitted.head["matrix"].shape[1])
    manifest = {
        "format": 3,
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
        # What composites.py has fitted stays, as the thresholds of evaluate.py do.
        "windows": {**manifest.get("windows", {}), "input": "windows", "cell_px": CELL, "second_look_px": SECOND_LOOK},
        "licence": "Apache-2.0",
        # Chosen by evaluate.py, kept when a model is exported again.
        "thresholds": manifest.get("thresholds", {"same_picture": 1.0, "review": 0.0}),
    }
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{args.out / 'model.onnx'}: {len(data)} bytes, dimension {dimension}, sha256 {digest}")
    print(f"agreement with its parts: cosine {worst:.7f} or better")


if __name__ == "__main__":
    main()
