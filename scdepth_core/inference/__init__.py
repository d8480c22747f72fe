"""Depth from images with trained weights. Needs neither Lightning nor ROS."""

from scdepth_core.inference.estimator import DepthEstimator

__all__ = ["DepthEstimator"]
