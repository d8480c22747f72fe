"""Pictures of depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from scdepth_core.finished_file import finished_file

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


def save_depth_sheet(
    path: Path,
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    note: str = "",
    labels: list[str] | None = None,
) -> None:
    """A sheet of frames: picture, predicted depth, measured depth, all in the same colours.

    Args:
        rows: (rgb (H, W, 3) uint8, predicted (H, W) metres, measured (H, W) metres or None); NaN or 0 where unknown.
        note: one line above the sheet.
        labels: one line in the picture of each row.
    """
    known = [depth[np.isfinite(depth) & (depth > 0)] for _, *depths in rows for depth in depths if depth is not None]
    near, far = np.percentile(np.concatenate(known), (2, 98))
    columns = 2 if all(measured is None for *_, measured in rows) else 3
    height, width = rows[0][0].shape[:2]
    figure = _figure((3.4 * columns, 3.4 * len(rows) * height / width + 1.0))
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
    for cell, label in zip(axes[:, 0], labels or []):
        place = {"transform": cell.transAxes, "va": "bottom", "fontsize": 8, "color": "white"}
        cell.text(0.02, 0.03, label, **place, bbox={"facecolor": "black", "alpha": 0.6, "pad": 2, "linewidth": 0})
    figure.suptitle(f"{note}\ncolours: {near:.1f} m (bright) to {far:.1f} m (dark), grey: no value", fontsize=9)
    _save(figure, path)


def save_cloud_views(path: Path, K: np.ndarray, rgb: np.ndarray, depths: dict[str, np.ndarray]) -> None:
    """Point clouds of one frame from the side and from above, in the picture's colours, one row per depth map.

    Args:
        K: (3, 3) intrinsics of the frame, pixels.
        rgb: (H, W, 3) uint8.
        depths: title -> (H, W) metres; NaN or 0 where unknown. All rows get the same axes.
    """
    clouds = {title: _cloud(K, rgb, depth) for title, depth in depths.items()}
    points = np.concatenate([points for points, _ in clouds.values()])
    low, high = np.percentile(points, (1, 99), axis=0)
    box = np.array([low - 0.3, high + 0.3])
    box[:, 2] = 0, 1.05 * high[2]
    figure = _figure((12, 4.2 * len(clouds)))
    axes = figure.subplots(len(clouds), 2, squeeze=False)
    for (side, above), (title, cloud) in zip(axes, clouds.items()):
        _draw_from_the_side(side, *cloud, box, f"{title}, from the side")
        _draw_from_above(above, *cloud, box, f"{title}, from above")
    _save(figure, path)


def save_rgbd_view(
    path: Path, K: np.ndarray, rgb: np.ndarray, depth: np.ndarray, near: float, far: float, title: str = ""
) -> None:
    """One moment of a depth camera on one sheet: picture, coloured depth, its cloud from the side and from above.

    Colours and axes depend on `near`, `far` and the camera alone, so that two sheets compare.

    Args:
        K: (3, 3) intrinsics, pixels.
        rgb: (H, W, 3) uint8.
        depth: (H, W) metres; NaN or 0 where unknown.
        near, far: range of the colours, metres; the cloud is shown up to `far`.
        title: one line above the sheet.
    """
    height, width = depth.shape
    corners = np.array([[0, 0, 1], [width - 1, height - 1, 1]]) @ np.linalg.inv(K).T * far  # metres: x, y down, z
    box = np.array([corners[0], corners[1]])
    box[:, 1] = -corners[1, 1], -corners[0, 1]
    box[:, 2] = 0, far
    figure = _figure((12, 9))
    (picture, colours), (side, above) = figure.subplots(2, 2, height_ratios=(1, 1))
    picture.imshow(rgb)
    picture.set(title="camera")
    colours.imshow(colorize_depth(depth, near, far))
    seen = np.isfinite(depth) & (depth > 0)
    known = (
        f"{np.median(depth[seen]):.2f} m in the middle, {seen.mean():.0%} known" if seen.any() else "no value at all"
    )
    colours.set(title=f"depth: {known}")
    for cell in (picture, colours):
        cell.set_axis_off()
    _draw_colour_scale(colours.inset_axes((1.02, 0, 0.03, 1)), near, far)
    cloud = _cloud(K, rgb, np.where(depth <= far, depth, np.nan))
    _draw_from_the_side(side, *cloud, box, "from the side")
    _draw_from_above(above, *cloud, box, "from above")
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def _cloud(K: np.ndarray, rgb: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) right, up, forward in metres, and their colours (N, 3) in 0..1; thinned out for drawing."""
    step = max(1, rgb.shape[1] // 160)
    v, u = np.mgrid[0 : rgb.shape[0] : step, 0 : rgb.shape[1] : step]
    z = depth[::step, ::step]
    seen = np.isfinite(z) & (z > 0)
    x, y = (u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z
    return np.stack([x[seen], -y[seen], z[seen]], axis=1), rgb[::step, ::step][seen] / 255.0


def _draw_from_the_side(cell, points: np.ndarray, colors: np.ndarray, box: np.ndarray, title: str) -> None:
    """Forward to the right, up upwards. `box` (2, 3) holds the lowest and highest right, up, forward, metres."""
    _scatter(cell, points[:, 2], points[:, 1], colors, title)
    cell.set(ylabel="up, m", xlim=box[:, 2], ylim=box[:, 1])


def _draw_from_above(cell, points: np.ndarray, colors: np.ndarray, box: np.ndarray, title: str) -> None:
    """Forward to the right, left upwards."""
    _scatter(cell, points[:, 2], -points[:, 0], colors, title)
    cell.set(ylabel="left, m", xlim=box[:, 2], ylim=-box[::-1, 0])


def _scatter(cell, horizontal: np.ndarray, vertical: np.ndarray, colors: np.ndarray, title: str) -> None:
    cell.scatter(horizontal, vertical, s=2, c=colors, linewidths=0)
    cell.set(xlabel="forward, m", aspect="equal", title=title, facecolor="0.93")


def _draw_colour_scale(cell, near: float, far: float) -> None:
    """The colours of `colorize_depth` with depths in metres beside them, even in inverse depth, near on top."""
    inverse = np.linspace(1 / near, 1 / far, 256)
    cell.imshow(colorize_depth(1 / inverse[:, None], near, far), aspect="auto", extent=(0, 1, 1 / far, 1 / near))
    depths = 1 / np.linspace(1 / near, 1 / far, 6)
    cell.set_yticks(1 / depths, [f"{depth:.2g} m" for depth in depths])
    cell.set_xticks([])
    cell.yaxis.tick_right()


def _figure(inches: tuple[float, float]):
    """An empty figure. Matplotlib waits until there is one to draw: depth_node colours depth without its 24 MB."""
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained")


def _save(figure, path: Path) -> None:
    """Write a PNG in one step; makes the folder that it is to be in."""
    with finished_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
