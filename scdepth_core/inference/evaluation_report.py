"""An evaluation for people: as a table, as a row of one, and as pictures of the best, median and worst frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scdepth_core.data.scene_folder import read_depth, read_image
from scdepth_core.evaluation import ALIGNMENTS, Evaluation
from scdepth_core.inference.estimator import DepthEstimator
from scdepth_core.metrics import Protocol, both_known, counted_pixels
from scdepth_core.visualization import save_depth_sheet

COLUMNS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "a1", "a2", "a3")
TITLES = {"image": "per-image median", "set": "one scale for the set", "none": "as it stands"}


def table(result: Evaluation, subject: str, metres_per_unit: float | None = None) -> str:
    """Errors by alignment, and by region where there are masks, as a Markdown table; the scale in a sentence.

    Args:
        subject: which weights, on which data.
        metres_per_unit: the scale of the weights that the predictions have in them already; None where there is none.
    """
    lines = ["| alignment | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    rows = {TITLES[alignment]: result.errors[alignment] for alignment in ALIGNMENTS}
    rows |= {"constant depth, per-image median": result.constant_of_image, "constant depth, one scale": result.constant}
    for name, region in result.regions.items():
        rows |= {f"{name}, {TITLES[alignment]}": region.errors[alignment] for alignment in ALIGNMENTS}
    lines += [f"| {title} | {_cells(errors)} |" for title, errors in rows.items()]
    sentences = [
        f"{subject}: {result.images} images ({result.skipped} without ground truth).",
        f"One scale {result.scale * (metres_per_unit or 1):.4f} m a unit"
        + (f" ({result.scale:.4f} times what the weights say)" if metres_per_unit else "")
        + f", scale spread {result.scale_spread:.3f}.",
    ]
    if result.constant["abs_rel"] > 0:  # it is 0 on a flat wall seen head-on
        ratio = result.errors["set"]["abs_rel"] / result.constant["abs_rel"]
        sentences.append(f"abs_rel is {ratio:.2f} of what a constant depth scores.")
    if result.coverage < 1:
        sentences.append(f"Predictions have a value at {result.coverage:.1%} of the pixels with ground truth.")
    sentences += [
        f"{name.capitalize()} regions are {region.share:.1%} of the pixels, in {region.images} images."
        for name, region in result.regions.items()
    ]
    return "\n".join([*lines, "", " ".join(sentences)])


def markdown_row(result: Evaluation, weights: str, data: str, protocol: str, alignment: str) -> str:
    """One row for a table of many runs."""
    heads = " | ".join((weights, data, protocol, TITLES[alignment]))
    return f"| {heads} | {_cells(result.errors[alignment])} | {result.scale_spread:.3f} |"


def save_sheet(
    path: Path,
    estimator: DepthEstimator,
    pairs: list[tuple[Path, Path]],
    depth_factor: float,
    result: Evaluation,
    alignment: str,
    protocol: Protocol,
) -> None:
    """Picture, predicted and measured depth of the frames with the least, the median and the largest abs_rel.

    Frames are ranked under their own scale, and shown under `alignment`. They are predicted once more.
    """
    ranked = [int(i) for i in np.argsort(result.per_image) if np.isfinite(result.per_image[i])]
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    rows, labels = [], []
    for name, index in chosen.items():
        image, depth = pairs[index]
        rgb, truth = read_image(image), read_depth(depth, depth_factor)
        predicted = estimator.predict(rgb) * np.float32(estimator.metadata.metres_per_unit or 1.0)
        known, there = both_known(*counted_pixels(predicted, truth, protocol))
        scale = {"image": np.median(known) / np.median(there), "set": result.scale, "none": 1.0}[alignment]
        rows.append((rgb, predicted * np.float32(scale), truth))
        labels.append(f"{name}: {image.stem}, abs_rel {result.per_image[index]:.3f}")
    save_depth_sheet(path, rows, TITLES[alignment], labels)


def _cells(errors: dict[str, float]) -> str:
    return " | ".join(f"{errors[name]:.3f}" for name in COLUMNS)
