"""frame_index.txt: what the doctor writes, what training takes from it, and files that are no such list."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scdepth_core import cli
from scdepth_core.data import SceneFolder
from scdepth_core.data.frame_index import listed_frames
from scdepth_core.errors import DataError
from scdepth_core.training.data_module import SequenceDataModule


def scene_of(root, places):
    """A scene whose camera is at these places, pixels to the right, before a wall full of texture."""
    folder = root / "training" / "a"
    (folder / "depth").mkdir(parents=True)
    np.savetxt(folder / "cam.txt", [[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])
    wall = np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)
    wall = cv2.resize(wall, (450, 250), interpolation=cv2.INTER_CUBIC)
    for index, place in enumerate(places):
        cv2.imwrite(str(folder / f"{index:04d}.png"), wall[60:180, 20 + place : 180 + place])
        cv2.imwrite(str(folder / "depth" / f"{index:04d}.png"), np.full((120, 160), 2000 + index, np.uint16))
    for listing in ("train.txt", "val.txt"):
        (root / "training" / listing).write_text("a\n")
    return folder


def test_frames_that_stand_still_are_passed_over_in_training(tmp_path, capsys):
    folder = scene_of(tmp_path, [0, 5, 10, 10, 10, 15, 20, 20, 25])
    assert cli.main(["check", str(tmp_path), "--write-frame-index"]) == 0
    assert (folder / "frame_index.txt").read_text().split() == ["0", "1", "2", "5", "6", "8"]
    assert "frame_index.txt in 1 scenes, 6 frames: train with --samples.frame_index true" in capsys.readouterr().out
    scene = listed_frames(SceneFolder(tmp_path).training[0])
    assert [path.stem for path in scene.images] == ["0000", "0001", "0002", "0005", "0006", "0008"]
    assert [path.stem for path in scene.depths] == [path.stem for path in scene.images]


@pytest.mark.parametrize("frame_index, expected", [(False, 7), (True, 4)])
def test_training_takes_the_listed_frames_where_it_is_asked_to(tmp_path, frame_index, expected):
    scene_of(tmp_path, [0, 5, 10, 10, 10, 15, 20, 20, 25])
    cli.main(["check", str(tmp_path), "--write-frame-index"])
    data = SequenceDataModule(tmp_path, 96, 128, 1, workers=0, frame_index=frame_index)
    data.trainer = Trainer()
    dataset = data.train_dataloader().dataset
    assert len(dataset) == expected
    if frame_index:  # 2 between 1 and 5: the frames between them show the same as 2
        target, earlier, later = dataset[1]["images"].float()
        assert (target - later).abs().mean() > 1 and (target - earlier).abs().mean() > 1


class Trainer:
    """As much of a Lightning trainer as the loader asks for."""

    global_rank, world_size = 0, 1

    class lightning_module:  # noqa: N801 - Lightning's name
        reads_pseudo_depth = False

    class strategy:  # noqa: N801
        class root_device:  # noqa: N801
            type = "cpu"


@pytest.mark.parametrize("text", ["0 x", "0 2 1", "0 0", "0 3", "-1 0", "0.5"])
def test_what_is_no_list_of_frames(tmp_path, text):
    (scene_of(tmp_path, [0, 5, 10]) / "frame_index.txt").write_text(text)
    with pytest.raises(DataError, match=r"frame_index.txt' has '.*' after -?\d, expected increasing places"):
        listed_frames(SceneFolder(tmp_path).training[0])


def test_a_missing_list(tmp_path):
    scene_of(tmp_path, [0, 5, 10])
    with pytest.raises(DataError, match=r"frame_index.txt' is missing – 'scdepth check DATA --write-frame-index'"):
        listed_frames(SceneFolder(tmp_path).training[0])


def test_a_scene_with_an_unreadable_frame_gets_no_list(tmp_path):
    folder = scene_of(tmp_path, [0, 5, 10, 15])
    (folder / "0002.png").write_bytes(b"no picture")
    assert cli.main(["check", str(tmp_path), "--write-frame-index"]) == 1
    assert not (folder / "frame_index.txt").exists()


def test_whole_scenes_are_judged(tmp_path, capsys):
    scene_of(tmp_path, [0, 5, 10])
    assert cli.main(["check", str(tmp_path), "--write-frame-index", "--frames", "2"]) == 1
    assert "leave --frames out" in capsys.readouterr().err
