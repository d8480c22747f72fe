"""Pictures of depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

NO_VALUE = (40, 40, 40)


def colorize_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Depth (H, W) as a picture (H, W, 3) uint8 RGB: near is bright, far is dark, no value is grey.

    Colours are even in inverse depth, as in disparity pictures, between `near` and `far` (same unit as the depth).
    """
    near, far = max(float(near), 1e-6), max(float(far), float(near) + 1e-6)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (1 / depth - 1 / far) / (1 / near - 1 / far)
    known = np.isfinite(depth) & (depth > 0)
    grey = (255 * np.clip(np.where(known, share, 0), 0, 1)).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
    picture[~known] = NO_VALUE
    return picture


def save_depth_sheet(path: Path, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]], note: str = "") -> None:
    """A sheet of frames: picture, predicted depth, measured depth, all in the same colours.

    Args:
        rows: (rgb (H, W, 3) uint8, predicted (H, W) metres, measured (H, W) metres or None); NaN or 0 where unknown.
        note: one line above the sheet.
    """
    known = [depth[np.isfinite(depth) & (depth > 0)] for _, *depths in rows for depth in depths if depth is not None]
    near, far = np.percentile(np.concatenate(known), (2, 98))
    columns = 2 if all(measured is None for *_, measured in rows) else 3
    height, width = rows[0][0].shape[:2]
    figure = Figure(figsize=(3.4 * columns, 3.4 * len(rows) * height / width + 1.0), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for cells, (rgb, predicted, measured) in zip(axes, rows):
        pictures = [rgb, colorize_depth(predicted, near, far)]
        pictures += [] if measured is None else [colorize_depth(measured, near, far)]
        for cell, picture in zip(cells, pictures):
            cell.imshow(picture)
        for cell in cells:
            cell.set_axis_off()
    for cell, title in zip(axes[0], ("camera", "predicted depth", "measured depth")):
        cell.set_title(title)
    figure.suptitle(f"{note}\ncolours: {near:.1f} m (bright) to {far:.1f} m (dark), grey: no value", fontsize=9)
    _save(figure, path)


def save_cloud_views(path: Path, K: np.ndarray, rgb: np.ndarray, depths: dict[str, np.ndarray]) -> None:
    """Point clouds of one frame from the side and from above, in the picture's colours, one row per depth map.

    Args:
        K: (3, 3) intrinsics of the frame, pixels.
        rgb: (H, W, 3) uint8.
        depths: title -> (H, W) metres; NaN or 0 where unknown. All rows get the same axes.
    """
    step = max(1, rgb.shape[1] // 160)
    v, u = np.mgrid[0 : rgb.shape[0] : step, 0 : rgb.shape[1] : step]
    colors = rgb[::step, ::step] / 255.0
    clouds = {}
    for title, depth in depths.items():
        z = depth[::step, ::step]
        seen = np.isfinite(z) & (z > 0)
        x, y = (u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z
        clouds[title] = (x[seen], -y[seen], z[seen], colors[seen])
    limits = [np.percentile(np.concatenate([cloud[axis] for cloud in clouds.values()]), (1, 99)) for axis in range(3)]
    figure = Figure(figsize=(12, 4.2 * len(clouds)), layout="constrained")
    axes = figure.subplots(len(clouds), 2, squeeze=False)
    for (side, above), (title, (x, up, z, color)) in zip(axes, clouds.items()):
        for cell, (horizontal, vertical, names, axis) in (
            (side, (z, up, ("forward, m", "up, m"), 1)),
            (above, (z, -x, ("forward, m", "left, m"), 0)),
        ):
            cell.scatter(horizontal, vertical, s=2, c=color, linewidths=0)
            cell.set(xlabel=names[0], ylabel=names[1], xlim=(0, 1.05 * limits[2][1]), aspect="equal")
            low, high = limits[axis] if axis else (-limits[0][1], -limits[0][0])
            cell.set_ylim(low - 0.3, high + 0.3)
            cell.set_facecolor("0.93")
        side.set_title(f"{title}, from the side")
        above.set_title(f"{title}, from above")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG in one step."""
    partial = Path(path).with_name(Path(path).name + ".partial")
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)
