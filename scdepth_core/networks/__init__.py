"""The three networks, compatible by parameter name with checkpoints of the public implementation."""

from scdepth_core.networks.depth_net import DepthNet
from scdepth_core.networks.encoder import ENCODERS, ResNetEncoder, build_encoder, imagenet_state
from scdepth_core.networks.pose_net import PoseNet, RectifyNet

__all__ = ["ENCODERS", "DepthNet", "PoseNet", "RectifyNet", "ResNetEncoder", "build_encoder", "imagenet_state"]
