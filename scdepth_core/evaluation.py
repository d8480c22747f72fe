"""Depth errors over a set of images, and the drift of scale over it, in memory that does not grow with the set.

A prediction is right up to one factor. Three alignments answer three questions:
`image`: how good is the shape of each depth map, its own median scale given (the published figures);
`set`: how good is depth with ONE factor for the whole set (what SLAM and a calibrated robot get);
`none`: how good is it as it stands, in metres.

The one factor is known only at the end, so what counts of each image waits in an unnamed temporary file, 8 bytes a
pixel, and is read once more. All results are exact; nothing is binned or sampled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from scdepth_core.errors import DataError
from scdepth_core.metrics import ERROR_NAMES, Protocol, both_known, compute_errors, counted_pixels

ALIGNMENTS = ("image", "set", "none")


@dataclass(frozen=True)
class RegionErrors:
    """Errors of the part of each image that moves, or that does not.

    Attributes:
        errors: alignment -> {error name: mean over the images that have such pixels}; the scale of an image is that of
            all its pixels.
        images: how many images have such pixels; share: of the compared pixels of the set.
    """

    errors: dict[str, dict[str, float]]
    images: int
    share: float


@dataclass(frozen=True)
class Evaluation:
    """Result over a set of images.

    Attributes:
        errors: alignment -> {error name: mean over images}.
        scale: the one factor of alignment `set`, on the predictions as they were given.
        scale_spread: std / mean of the per-image median ratios (0 = one scale for all).
        constant: errors of a constant depth under alignment `set`: what knowing nothing scores.
        constant_of_image: the same under alignment `image`: each image is as far as its median.
        coverage: share of the pixels with ground truth that the predictions have a value for.
        images: how many images counted; `skipped`: how many had no valid ground truth.
        per_image: abs_rel of each image under its own scale, in order (NaN where skipped).
        regions: 'dynamic' and 'static' -> their errors; empty without masks.
    """

    errors: dict[str, dict[str, float]]
    scale: float
    scale_spread: float
    constant: dict[str, float]
    constant_of_image: dict[str, float]
    coverage: float
    images: int
    skipped: int
    per_image: list[float]
    regions: dict[str, RegionErrors] = field(default_factory=dict)


def evaluate(frames: Iterable[tuple[np.ndarray, ...]], protocol: Protocol) -> Evaluation:
    """Errors over a set, under all alignments.

    Args:
        frames: (prediction, truth) of each image, as in depth_errors; or with a third array (H, W), bool, True at what
            moves, which asks for the errors by region. Either all have one, or none.

    Raises:
        DataError: no image has ground truth that counts, or a prediction has no value where there is some.
    """
    sizes: list[int] = []
    ratios: list[float] = []
    medians: list[float] = []
    per_image: list[float] = []
    means = {alignment: _Means() for alignment in ALIGNMENTS}
    constant, constant_of_image = _Means(), _Means()
    with _PixelStore() as store:
        for number, (prediction, truth, *moving) in enumerate(frames, start=1):
            try:
                size, pixels = _compared(prediction, truth, moving[0] if moving else None, protocol)
            except DataError as error:
                raise DataError(f"image {number} of the set: {error}") from None
            sizes.append(size)
            if pixels is None:
                per_image.append(float("nan"))
                continue
            medians.append(float(np.median(pixels.truth)))
            ratios.append(medians[-1] / float(np.median(pixels.prediction)))
            per_image.append(means["image"].add(pixels, ratios[-1], protocol))
            means["none"].add(pixels, 1.0, protocol)
            constant_of_image.add(_flat(pixels, medians[-1]), 1.0, protocol)
            store.add(pixels)
        if not ratios:
            raise DataError(
                f"none of the {len(sizes)} ground-truth depths has a pixel between {protocol.min_depth:g} and "
                f"{protocol.max_depth:g} m – check depth_factor in dataset.yaml"
            )
        scale, level = float(np.median(ratios)), float(np.median(medians))
        for pixels in store:
            means["set"].add(pixels, scale, protocol)
            constant.add(_flat(pixels, level), 1.0, protocol)
    return Evaluation(
        errors={alignment: mean.of("all") for alignment, mean in means.items()},
        scale=scale,
        scale_spread=float(np.std(ratios) / np.mean(ratios)),
        constant=constant.of("all"),
        constant_of_image=constant_of_image.of("all"),
        coverage=means["set"].pixels["all"] / sum(sizes),
        images=len(ratios),
        skipped=len(sizes) - len(ratios),
        per_image=per_image,
        regions=_regions(means),
    )


@dataclass(frozen=True)
class _Pixels:
    """What is compared of one image: 1-D arrays, truth and prediction float32, moving bool or None."""

    truth: np.ndarray
    prediction: np.ndarray
    moving: np.ndarray | None = None


def _flat(pixels: _Pixels, depth: float) -> _Pixels:
    return _Pixels(pixels.truth, np.full_like(pixels.prediction, depth))


class _Means:
    """Mean over images of the errors of the whole image ('all') and of its regions."""

    def __init__(self):
        self.totals: dict[str, np.ndarray] = {}
        self.images: dict[str, int] = {}
        self.pixels: dict[str, int] = {}

    def add(self, pixels: _Pixels, scale: float, protocol: Protocol) -> float:
        """Count one image; returns abs_rel of the whole of it."""
        clipped = np.clip(scale * pixels.prediction, protocol.min_depth, protocol.max_depth)
        whole = self._count("all", pixels.truth, clipped)
        if pixels.moving is not None:
            for name, where in (("dynamic", pixels.moving), ("static", ~pixels.moving)):
                if where.any():
                    self._count(name, pixels.truth[where], clipped[where])
        return whole["abs_rel"]

    def of(self, region: str) -> dict[str, float]:
        return dict(zip(ERROR_NAMES, (self.totals[region] / self.images[region]).tolist()))

    def _count(self, region: str, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        errors = compute_errors(truth, prediction)
        self.totals[region] = self.totals.get(region, 0) + np.array(list(errors.values()))
        self.images[region] = self.images.get(region, 0) + 1
        self.pixels[region] = self.pixels.get(region, 0) + truth.size
        return errors


class _PixelStore:
    """Pixels of images, kept on disk in a file without a name that is gone with the process."""

    def __init__(self):
        self._images: list[tuple[int, bool]] = []

    def __enter__(self) -> _PixelStore:
        self._file = tempfile.TemporaryFile(prefix="scdepth-evaluate-")  # noqa: SIM115 - __exit__ closes it
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def add(self, pixels: _Pixels) -> None:
        for part in (pixels.truth, pixels.prediction):
            self._file.write(part.astype(np.float32, copy=False).tobytes())
        if pixels.moving is not None:
            self._file.write(pixels.moving.tobytes())
        self._images.append((pixels.truth.size, pixels.moving is not None))

    def __iter__(self) -> Iterator[_Pixels]:
        self._file.seek(0)
        for size, masked in self._images:
            truth, prediction = np.frombuffer(self._file.read(8 * size), np.float32).reshape(2, size)
            yield _Pixels(truth, prediction, np.frombuffer(self._file.read(size), bool) if masked else None)


def _compared(
    prediction: np.ndarray, truth: np.ndarray, moving: np.ndarray | None, protocol: Protocol
) -> tuple[int, _Pixels | None]:
    """How many pixels of the ground truth count, and those of them that have both depths; None where none count."""
    known, predicted = counted_pixels(prediction, truth, protocol)
    if not known.size:
        return 0, None
    pair = both_known(known, predicted)
    if moving is None:
        return known.size, _Pixels(*pair)
    if moving.shape != truth.shape:
        size = truth.shape[::-1]
        moving = cv2.resize(moving.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    moving = moving[protocol.mask(np.nan_to_num(truth, nan=0.0))]
    return known.size, _Pixels(*pair, moving[np.isfinite(predicted) & (predicted > 0)])


def _regions(means: dict[str, _Means]) -> dict[str, RegionErrors]:
    counted = means["set"]
    return {
        name: RegionErrors(
            {alignment: mean.of(name) for alignment, mean in means.items()},
            counted.images[name],
            counted.pixels[name] / counted.pixels["all"],
        )
        for name in ("dynamic", "static")
        if name in counted.images
    }
