"""`scdepth pseudo-depth`: depth of every frame by another network, which V3 learns order and shape from."""

from __future__ import annotations

import argparse
import hashlib
import json
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from scdepth_core.arguments import image_size
from scdepth_core.data.scene_folder import Scene, SceneFolder, read_image
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.finished_file import finished_file
from scdepth_core.inference.foreign_models import DepthModel, load_model
from scdepth_core.inference.predict import save_png

NOTE = "model.json"
FULL = np.iinfo(np.uint16).max


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes OUT/SCENE/STEM.png for every frame: 16 bits, each image scaled to its own largest value, 0 for none. "
        "Scale says nothing in them, order and shape do. Tell training whether the model gives depth or inverse depth, "
        "as MiDaS and Depth Anything do. Frames that have a file already are left alone: an interrupted run goes on; "
        f"OUT/{NOTE} says which model it was."
    )
    parser.add_argument("data", type=Path, help="data set in the scene-folder format")
    parser.add_argument("out", type=Path, help="folder to fill; it may exist")
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME_OR_FILE",
        help="an .onnx file (RGB in, normalised as for ImageNet), or a depth-estimation model of transformers, by name "
        "or folder; extra 'pseudo-depth'",
    )
    parser.add_argument("--input-size", type=image_size, metavar="WxH", help="of an ONNX file that takes any size")
    parser.add_argument("--split", choices=("train", "val", "all"), default="all", help="which scenes (default: all)")
    parser.add_argument(
        "--device", default="cpu", help="of a transformers model: auto, cpu, cuda or cuda:N (default: cpu)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Fill the folder; each file appears under its name only when it is complete."""
    scenes = _scenes(SceneFolder(args.data), args.split)
    jobs = [(path, args.out / scene.name / f"{path.stem}.png") for scene in scenes for path in scene.images]
    missing = [(image, target) for image, target in jobs if not target.exists()]
    model = load_model(args.model, args.input_size, args.device)
    maps = (to_units(pseudo_depth(model, image)) for image, _ in missing)
    first = list(islice(maps, 1))  # a model that cannot make it leaves no note, so the folder stays free for another
    note_model(args.out, args.model, args.input_size)
    maps = tqdm(chain(first, maps), total=len(missing), unit="image", desc="pseudo depth", disable=None)
    for (_, target), units in zip(missing, maps):
        save_png(target, units)
    summary = {"out": str(args.out), "written": len(missing), "kept": len(jobs) - len(missing)}
    if args.json:
        print(json.dumps(summary))
    else:
        kept = f", {summary['kept']} were there" if summary["kept"] else ""
        print(f"{summary['written']} maps of {len(scenes)} scenes in '{args.out}'{kept}")
    return 0


def _scenes(folder: SceneFolder, split: str) -> list[Scene]:
    """The scenes of a split, each once; DataError names the other split where this one's list is not there."""
    scenes = {}
    for name, other in (("train", "val"), ("val", "train")):
        if split not in (name, "all"):
            continue
        listing, listed_there = (folder.root / "training" / f"{half}.txt" for half in (name, other))
        if not listing.exists() and listed_there.exists():
            raise DataError(
                f"'{listing}' is missing – list one scene name a line in it, or choose the scenes of "
                f"{listed_there.name} with --split {other}"
            )
        scenes |= {scene.name: scene for scene in (folder.training if name == "train" else folder.validation)}
    return list(scenes.values())


def note_model(out: Path, model: str, input_size: tuple[int, int] | None) -> None:
    """Write down what fills the folder; ConfigError where it was another model, for maps of two do not compare.

    Args:
        model: name of a pipeline, or path of an ONNX file, which is told by its name and contents, wherever it lies.
    """
    path, own = out / NOTE, {"model": model, "input_size": None if input_size is None else list(input_size)}
    if model.lower().endswith(".onnx"):
        own |= {"model": Path(model).name, "sha256": _digest(Path(model))}
    name = own["model"]
    if not path.exists():
        with finished_file(path) as partial:
            partial.write_text(json.dumps(own) + "\n")
        return
    try:
        earlier = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"'{path}' is not JSON ({error}) – remove it, if the maps beside it are of {name}") from None
    if not isinstance(earlier, dict) or "model" not in earlier:
        raise ConfigError(f"'{path}' names no model – remove it, if the maps beside it are of {name}")
    if "sha256" not in earlier:  # as earlier releases wrote it: the name is all that is known
        own.pop("sha256", None)
    if earlier == own:
        return
    if all(earlier.get(key) == own[key] for key in ("model", "input_size")):
        raise ConfigError(f"'{out}' holds maps of another file named {name} – choose another OUT, or remove it")
    raise ConfigError(
        f"'{out}' holds maps of {earlier['model']} (input size {earlier.get('input_size')}), not of {name} "
        f"({own['input_size']}) – choose another OUT, or remove it"
    )


def _digest(model: Path) -> str:
    """SHA-256 of an ONNX file, and of the weights that exporters put beside large ones."""
    digest = hashlib.sha256()
    for path in (model, model.with_name(f"{model.name}.data"), model.with_name(f"{model.name}_data")):
        if path.is_file():
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
    return digest.hexdigest()


def pseudo_depth(model: DepthModel, image: Path) -> np.ndarray:
    """The model's map of an image file, (H, W) float32 at the image's size.

    Raises:
        DataError: it has NaN in it, or no value above 0.
    """
    rgb = read_image(image)
    made = model(rgb)
    if not np.isfinite(made).all() or made.max() <= 0:
        raise DataError(f"the model gives no finite value above 0 for '{image}' – is it a depth network?")
    if made.shape != rgb.shape[:2]:
        made = cv2.resize(made, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return made


def to_units(made: np.ndarray) -> np.ndarray:
    """A map as uint16, its largest value at 65535; values of 0 and below become 0, no value, and others at least 1."""
    units = np.rint(made * (FULL / made.max()))
    return np.where(made > 0, units.clip(1, FULL), 0).astype(np.uint16)
