"""Set frames apart for validation: whole scenes from the end, or the end of one; never frame by frame."""

from __future__ import annotations

from collections import Counter

from scdepth_core.data.scene_writer import DatasetWriter
from scdepth_ros.extraction.report import SceneReport

_TOO_MUCH, _TOO_LITTLE = 1.5, 0.5  # times the share asked for


def split_scenes(dataset: DatasetWriter, scenes: list[SceneReport], share: float, min_frames: int) -> list[SceneReport]:
    """Divide written scenes into training and validation, and tell the data set.

    Neighbouring frames show nearly the same view, so a validation frame between training frames would be no
    test. The last scenes go to validation while they fit into `share` of the frames; when they are too large
    for that, the end of one becomes a scene of its own.

    Returns:
        the reports in their order, with `split` set and any new scene among them.
    """
    wanted = share * sum(scene.kept for scene in scenes)
    rest, val = list(scenes), []
    while rest and wanted and sum(scene.kept for scene in val) + rest[-1].kept <= _TOO_MUCH * wanted:
        val.insert(0, rest.pop())
    missing = round(wanted) - sum(scene.kept for scene in val)
    if rest and wanted and missing > (1 - _TOO_LITTLE) * wanted:
        tail = max(missing, min_frames)
        if rest[-1].kept - tail >= min_frames:
            val.insert(0, _split_tail(dataset, rest[-1], tail))
    for scene in val:
        scene.split = "val"
    dataset.train = [scene.name for scene in rest]
    dataset.val = [scene.name for scene in val]
    return rest + val


def _split_tail(dataset: DatasetWriter, scene: SceneReport, frames: int) -> SceneReport:
    """Make the last frames of a scene a scene of its own; dropped frames stay in the first one's account."""
    name = f"{scene.name}_val"
    first_ns = dataset.split_scene(scene.name, name, frames)
    tail = SceneReport(name, scene.bag, first_ns, scene.end_ns, kept=frames, dropped=Counter(), tail_of=scene.name)
    tail.depth = dataset.count_depths(name)
    tail.poses = frames if scene.poses else 0
    tail.motion, scene.motion = scene.motion[-frames:], scene.motion[:-frames]
    tail.rotation, scene.rotation = scene.rotation[-frames:], scene.rotation[:-frames]
    scene.kept -= frames
    scene.depth -= tail.depth
    scene.poses -= tail.poses
    scene.end_ns = first_ns
    return tail
