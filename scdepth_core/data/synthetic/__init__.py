"""Synthetic video with exact depth, poses and intrinsics: scenes, camera paths and a ray caster."""

from scdepth_core.data.synthetic.mount import Mount
from scdepth_core.data.synthetic.paths import STYLES, make_path
from scdepth_core.data.synthetic.rays import pinhole_camera
from scdepth_core.data.synthetic.renderer import Renderer
from scdepth_core.data.synthetic.scenes import KINDS, Scene, make_scene

__all__ = ["KINDS", "STYLES", "Mount", "Renderer", "Scene", "make_path", "make_scene", "pinhole_camera"]
