"""Write source scenes as a data set: rectified, without the border that this leaves, scaled; intrinsics follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scdepth_core.data.frame_selection import FrameSelector, SelectionSettings
from scdepth_core.data.importers.source import BenchmarkFrame, SourceScene
from scdepth_core.data.scene_folder import read_image
from scdepth_core.data.scene_writer import DatasetWriter
from scdepth_core.errors import DataError
from scdepth_core.geometry.image_geometry import ImageGeometry

TAIL = 0.2  # of the only scene, for validation
FEWEST_FRAMES = 3


@dataclass
class ConvertedScene:
    """What became of one recording: frames read, kept, dropped by reason, with depth, with pose; `notes` for people."""

    name: str
    split: str
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    depths: int = 0
    poses: int = 0
    notes: list[str] = field(default_factory=list)


def convert(
    scenes: list[SourceScene],
    writer: DatasetWriter,
    validation: list[str] | None = None,
    selection: SelectionSettings | None = None,
    progress: Callable[[], object] = lambda: None,
) -> list[ConvertedScene]:
    """Write scenes into a data set that is open, and list them for training and validation.

    Args:
        validation: names of the scenes for val.txt; None takes those that the layout keeps for testing, else the last,
            else the end of the only one.
        selection: leave out frames that do not move or are blurred; None keeps all.
        progress: called after each frame.

    Raises:
        DataError: a name in `validation` is unknown, two scenes have one name, or no scene is left.
    """
    names = [scene.name for scene in scenes]
    unknown = [name for name in validation or () if name not in names]
    if unknown:
        raise DataError(f"validation scene '{unknown[0]}' is not there, expected some of {', '.join(names)}")
    chosen = set(_validation(scenes) if validation is None else validation)
    converted = []
    for scene in scenes:
        result = ConvertedScene(scene.name, "val" if scene.name in chosen else "train")
        _write(scene, writer, selection, result, progress)
        if result.kept < FEWEST_FRAMES:
            writer.remove_scene(scene.name)
            result.split = "none"
        else:
            (writer.val if result.split == "val" else writer.train).append(scene.name)
        converted.append(result)
    if not writer.train and not writer.val:
        raise DataError(f"none of the {len(scenes)} scenes has {FEWEST_FRAMES} frames left – lower --min-motion")
    if validation is None and not writer.val and len(writer.train) == 1:
        whole = next(scene for scene in converted if scene.split == "train")
        if whole.kept > FEWEST_FRAMES:
            converted.append(_split_tail(writer, whole))
    return converted


def write_benchmark(
    frames: list[BenchmarkFrame], writer: DatasetWriter, progress: Callable[[], object] = lambda: None
) -> None:
    """Write test frames into a data set that is open, as they were recorded; `progress` is called after each.

    Raises:
        DataError: a picture cannot be decoded, or has another size than its depth.
    """
    for frame in frames:
        writer.add_test(frame.stem, frame.image, frame.depth())
        progress()


def _validation(scenes: list[SourceScene]) -> list[str]:
    kept = [scene.name for scene in scenes if scene.validation]
    return kept or ([scenes[-1].name] if len(scenes) > 1 else [])


def _split_tail(writer: DatasetWriter, whole: ConvertedScene) -> ConvertedScene:
    """Move the end of the only scene into one of its own, for validation; what is left stays long enough to train."""
    frames = min(max(1, round(TAIL * whole.kept)), whole.kept - FEWEST_FRAMES)
    tail = ConvertedScene(f"{whole.name}_tail", "val", kept=frames, poses=frames if whole.poses == whole.kept else 0)
    writer.split_scene(whole.name, tail.name, frames)
    writer.val.append(tail.name)
    whole.kept -= frames
    whole.poses -= tail.poses
    whole.depths, tail.depths = writer.count_depths(whole.name), writer.count_depths(tail.name)
    return tail


def _write(
    scene: SourceScene,
    writer: DatasetWriter,
    selection: SelectionSettings | None,
    result: ConvertedScene,
    progress: Callable[[], object],
) -> None:
    geometry = ImageGeometry(scene.camera, (writer.width, writer.height), "stretch")
    selector = None if selection is None else FrameSelector(geometry.camera.K, selection)
    target = writer.new_scene(scene.name, geometry.camera.K)
    for frame in scene.frames:
        image = read_image(frame.image)
        if image.shape[:2] != (scene.camera.height, scene.camera.width):
            raise DataError(
                f"'{frame.image}' is {image.shape[1]}x{image.shape[0]}, its camera is calibrated for "
                f"{scene.camera.width}x{scene.camera.height} – give the frames as recorded"
            )
        image = geometry.image(image)
        verdict = None if selector is None else selector.judge(image)
        result.read += 1
        progress()
        if verdict is not None and not verdict.keep:
            result.dropped[verdict.reason] = result.dropped.get(verdict.reason, 0) + 1
            continue
        depth = None if frame.depth is None else frame.depth(geometry)
        target.add(image, stamp_ns=frame.stamp_ns, depth=depth, pose=frame.pose)
    target.close()
    result.kept, result.depths = target.frames, target.depths
    result.poses = target.poses if target.poses == target.frames else 0
    if 0 < target.poses < target.frames:
        result.notes.append(f"only {target.poses} of {target.frames} frames have a pose, so none is written")
