"""Scale from measured depth: a depth camera beside the colour camera, or lidar points projected into its image."""

from __future__ import annotations

import numpy as np

from scdepth_core.scale.robust import median_and_scatter
from scdepth_core.scale.view import Measurement, View

_ENOUGH_PIXELS = 50
_MOST_PIXELS = 20_000  # more of them only repeat their neighbours
_INDEPENDENT = 50  # regions of an image whose errors have little to do with each other
_INLIERS = 3.0  # standard deviations
_SMALLEST_SCATTER = 0.002  # of the log ratio: so well agrees no sensor with a network, but a network with itself
_LARGEST_SCATTER = 0.5  # of the log ratio: a prediction further off than this does not resemble the scene


class ReferenceDepth:
    """ln s = median over inliers of ln(reference) - ln(predicted)."""

    name = "reference_depth"

    def measure(self, view: View) -> Measurement:
        """The scale of one view with `reference`."""
        if view.reference is None:
            return Measurement.none("no reference depth at the image's stamp")
        with np.errstate(invalid="ignore"):
            both = np.flatnonzero((view.reference > 0) & (view.depth > 0))
        both = both[:: max(1, len(both) // _MOST_PIXELS)]
        ratio = np.log(view.reference.ravel()[both]) - np.log(view.depth.ravel()[both])
        ratio = ratio[np.isfinite(ratio)]
        if len(ratio) < _ENOUGH_PIXELS:
            return Measurement.none("too few pixels with reference depth")
        centre, scatter = median_and_scatter(ratio)
        inliers = ratio[np.abs(ratio - centre) <= _INLIERS * max(scatter, 1e-6)]
        centre, scatter = median_and_scatter(inliers)
        if scatter < _SMALLEST_SCATTER:
            return Measurement.none("the reference is no measured depth, but what this network predicted")
        if scatter > _LARGEST_SCATTER:
            return Measurement.none("prediction and reference depth do not resemble each other")
        return Measurement(centre, scatter / np.sqrt(min(len(inliers), _INDEPENDENT)))

    def restart(self) -> None:
        """Nothing is remembered between frames."""
