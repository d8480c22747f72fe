"""Training objectives, term by term."""

from scdepth_core.losses.consistency import (
    ConsistencyLoss,
    ConsistencyOptions,
    PairErrors,
    consistency_loss,
    dynamic_mask,
    geometry_inconsistency,
    pair_errors,
    view_synthesis,
)
from scdepth_core.losses.normals import normal_matching_loss, surface_normals
from scdepth_core.losses.photometric import photometric_error, ssim_error
from scdepth_core.losses.smoothness import edge_aware_smoothness

__all__ = [
    "ConsistencyLoss",
    "ConsistencyOptions",
    "PairErrors",
    "consistency_loss",
    "dynamic_mask",
    "edge_aware_smoothness",
    "geometry_inconsistency",
    "normal_matching_loss",
    "pair_errors",
    "photometric_error",
    "ssim_error",
    "surface_normals",
    "view_synthesis",
]
