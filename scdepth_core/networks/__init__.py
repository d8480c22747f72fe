"""The three networks, compatible by parameter name with checkpoints of the public implementation."""

from scdepth_core.networks.classifiers import imagenet_state
from scdepth_core.networks.depth_net import DepthNet
from scdepth_core.networks.encoder import ResNetEncoder, build_encoder
from scdepth_core.networks.pose_net import PoseNet, RectifyNet

__all__ = ["DepthNet", "PoseNet", "RectifyNet", "ResNetEncoder", "build_encoder", "imagenet_state"]
