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
from scdepth_core.losses.normal_ranking import normal_ranking_loss
from scdepth_core.losses.normals import normal_matching_loss, normals_known, surface_normals
from scdepth_core.losses.photometric import photometric_error, ssim_error
from scdepth_core.losses.ranking import dynamic_ranking_loss
from scdepth_core.losses.rotation import (
    TRUSTED_ROTATION,
    drawn_rotation,
    fill_unseen,
    pseudo_rotation,
    rotation_consistency_loss,
    rotation_equivariance_loss,
    rotation_magnitude,
    rotation_triplet_loss,
)
from scdepth_core.losses.smoothness import edge_aware_smoothness

__all__ = [
    "TRUSTED_ROTATION",
    "ConsistencyLoss",
    "ConsistencyOptions",
    "PairErrors",
    "consistency_loss",
    "dynamic_mask",
    "drawn_rotation",
    "dynamic_ranking_loss",
    "edge_aware_smoothness",
    "fill_unseen",
    "geometry_inconsistency",
    "normal_matching_loss",
    "normal_ranking_loss",
    "normals_known",
    "pair_errors",
    "photometric_error",
    "pseudo_rotation",
    "rotation_consistency_loss",
    "rotation_equivariance_loss",
    "rotation_magnitude",
    "rotation_triplet_loss",
    "ssim_error",
    "surface_normals",
    "view_synthesis",
]
