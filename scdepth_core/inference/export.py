"""`scdepth export`: the network as a file for another library, compared with PyTorch before it gets its name."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.errors import BackendError, ConfigError, DataError
from scdepth_core.evaluation import evaluate
from scdepth_core.inference.backends import load_backend
from scdepth_core.inference.backends.base import Source
from scdepth_core.inference.backends.libraries import import_optional
from scdepth_core.inference.convert import onnx_bytes, openvino_model, quiet, torch_export_bytes
from scdepth_core.inference.estimator import DepthEstimator
from scdepth_core.inference.evaluate import frames_with_depth, predict_frames
from scdepth_core.inference.exported_file import open_source
from scdepth_core.inference.own_frames import own_frames
from scdepth_core.inference.parity import BOUNDS, depth_change, random_frames
from scdepth_core.inference.quantize import quantized_model
from scdepth_core.metrics import protocol_named

TARGETS = {  # ending, precisions
    "onnx": (".onnx", ("float32", "float16")),
    "openvino": (".xml", ("float32", "bfloat16", "int8")),
    "torch-export": (".pt2", ("float32", "bfloat16", "float16")),
}
HELD_OUT = 5  # every fifth frame is not for calibration but for the comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help=".safetensors or .ckpt")
    parser.add_argument("out", type=Path, help="file to write: NAME.onnx, NAME.xml (with NAME.bin) or NAME.pt2")
    parser.add_argument("--to", choices=tuple(TARGETS), required=True, help="format")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16", "int8"),
        default="float32",
        help="onnx: float32, float16; openvino: float32, bfloat16, int8; torch-export: all but int8 (default: float32)",
    )
    parser.add_argument(
        "--frames", type=Path, nargs="+", help="folders of your camera's images; int8 is calibrated on them"
    )
    parser.add_argument(
        "--data", type=Path, help="data set: its training images are frames, its ground truth gives AbsRel"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Convert, compare, and only then put the file where it was asked for."""
    _check(args)
    source = open_source(args.weights)
    if source.file is not None:
        raise ConfigError(f"'{args.weights}' is exported already – give the weights that it was made from")
    pairs, unknown = ground_truth(args)
    frames = own_frames(args.frames or [], args.data, source.metadata)
    kept = frames[::HELD_OUT]
    calibration = tuple(frame for index, frame in enumerate(frames) if index % HELD_OUT) or tuple(frames)
    source = dataclasses.replace(source, calibration=calibration)  # before the network is built, so that it is once
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{args.out.stem}.", dir=args.out.parent) as folder:
        partial = Path(folder) / args.out.name
        write(partial, source, args.to, args.precision)
        report = {
            "out": str(args.out),
            "to": args.to,
            "precision": args.precision,
            **compare(partial, source, args, kept, pairs),
        }
        report |= {"note": f"abs_rel is not measured: {unknown}"} if unknown else {}
        refuse_beyond_bound(report)
        args.out.unlink(missing_ok=True)  # never an old .xml beside a new .bin
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == args.out.name):
            file.replace(args.out.with_name(file.name))
    report["bytes"] = sum(args.out.with_suffix(e).stat().st_size for e in _endings(args.to))
    print(json.dumps(report) if args.json else _sentences(report))
    return 0


def ground_truth(args: argparse.Namespace) -> tuple[list[tuple[Path, Path]], str]:
    """(image, depth) files of --data to measure AbsRel on, and why there are none although --data was given."""
    if args.data is None:
        return [], ""
    if args.to == "torch-export":
        return [], "scdepth does not evaluate torch.export files"
    try:
        return frames_with_depth(SceneFolder(args.data), "auto")[0], ""
    except DataError as error:
        return [], str(error)


def write(path: Path, source: Source, target: str, precision: str) -> None:
    """Convert into a file (and for OpenVINO its twin with the weights)."""
    if target == "onnx":
        path.write_bytes(onnx_bytes(source, precision))
    elif target == "torch-export":
        path.write_bytes(torch_export_bytes(source, precision))
    else:
        model = (quantized_model if precision == "int8" else openvino_model)(source, precision)
        import_optional("openvino", "openvino", "conversion to OpenVINO").save_model(
            model, path, compress_to_fp16=False
        )


def compare(
    path: Path, source: Source, args: argparse.Namespace, own: list[np.ndarray], pairs: list[tuple[Path, Path]]
) -> dict:
    """Depth of the file against PyTorch in float32: on random frames, on the user's, and AbsRel of both on `pairs`."""
    reference = load_backend(source, "cpu", "torch", "float32")
    exported = runner(path, args.to)
    sets = {"random": random_frames(source.metadata.height, source.metadata.width), "own": own}
    changes = {
        name: dataclasses.asdict(depth_change(reference.predict, exported, tqdm(frames, desc=name, disable=None)))
        for name, frames in sets.items()
        if frames
    }
    if not pairs:
        return {"depth_change": changes}
    folder = SceneFolder(args.data)
    protocol = protocol_named(folder.preset.protocol)
    both = {"pytorch": DepthEstimator(reference, source.metadata), "file": DepthEstimator.load(path, "cpu")}
    abs_rel = {
        name: evaluate(predict_frames(estimator, pairs, folder.depth_factor, None), protocol).errors["image"]
        for name, estimator in both.items()
    }
    return {"depth_change": changes, "abs_rel": {name: errors["abs_rel"] for name, errors in abs_rel.items()}}


def runner(path: Path, target: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels to depth that runs the file in the library that it was made for, on the CPU."""
    if target != "torch-export":
        return load_backend(open_source(path), "cpu").predict
    with quiet():
        module = torch.export.load(path).module()

    def predict(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(pixels)).numpy()

    return predict


def refuse_beyond_bound(report: dict) -> None:
    """Raise BackendError when the depth of the file is not that of the network; int8 is the user's to judge."""
    bound = BOUNDS.get(report["precision"], np.inf)
    for name, change in report["depth_change"].items():
        if not change["max"] <= bound:
            raise BackendError(
                f"the exported network differs from PyTorch by {change['max']:.1e} on {name} frames, allowed are "
                f"{bound:.0e} in {report['precision']} – nothing was written; try another precision"
            )


def _check(args: argparse.Namespace) -> None:
    ending, precisions = TARGETS[args.to]
    if args.out.suffix != ending:
        raise ConfigError(f"output is '{args.out}', expected a name that ends in {ending} for --to {args.to}")
    if args.precision not in precisions:
        raise ConfigError(f"--to {args.to} has no {args.precision}, expected {' or '.join(precisions)}")
    if args.precision == "int8" and not (args.frames or args.data):
        raise ConfigError("int8 is calibrated on frames of your own camera – give a folder of images with --frames")


def _endings(target: str) -> tuple[str, ...]:
    return (".xml", ".bin") if target == "openvino" else (TARGETS[target][0],)


def _sentences(report: dict) -> str:
    lines = [f"'{report['out']}': {report['to']}, {report['precision']}, {report['bytes']} bytes"]
    for name, change in report["depth_change"].items():
        lines.append(
            f"relative depth error against PyTorch float32 on {change['frames']} {name} frames: "
            f"max {change['max']:.2e}, mean {change['mean']:.2e}"
        )
    if "abs_rel" in report:
        pytorch, file = report["abs_rel"]["pytorch"], report["abs_rel"]["file"]
        lines.append(f"abs_rel with a scale for each image: {pytorch:.4f} in PyTorch float32, {file:.4f} in this file")
    elif "note" in report:
        lines.append(report["note"])
    elif report["precision"] == "int8":
        lines.append("'scdepth evaluate --weights' takes this file and gives its abs_rel, where there is ground truth")
    return "\n".join(lines)
