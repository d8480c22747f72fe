"""Does training stay finite on frames that break plain implementations? Every loss term and gradient is looked at.

    python test/stability.py --steps 2000
    python test/stability.py --steps 2000 --version v3 --precision bf16-mixed

Trains on a small rendered data set laced with black, saturated, static, duplicated and noise frames, and for V3 with
pseudo depth that is unknown, constant or noise. Exit status 1 with the step and the name of what is not finite.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytorch_lightning as pl
import torch

from scdepth_core import cli
from scdepth_core.data import PseudoDepth, SceneFolder
from scdepth_core.networks.depth_net import DECODERS
from scdepth_core.training.data_module import SequenceDataModule
from scdepth_core.training.progress import ImageProgressBar
from scdepth_core.training.versions import VERSIONS

KINDS = ("black", "saturated", "noise", "duplicate", "static", "half black")


def laced_data(root: Path, frames: int = 24, size: tuple[int, int] = (96, 64), scenes: int = 2) -> Path:
    """A rendered data set of which every second frame is spoilt, a kind after the other, and its depth every third."""
    options = ("--scenes", scenes, "--validation-scenes", 1, "--test-frames", 1, "--frames", frames, "--workers", 1)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(["synthesize", str(root), *map(str, options), "--size", f"{size[0]}x{size[1]}"]) == 0
    rng = np.random.default_rng(0)
    for number, scene in enumerate(SceneFolder(root).training):
        for index in range(1, len(scene.images), 2):
            kind = KINDS[(index // 2 + number) % len(KINDS)]
            spoil(kind, scene.images, index, rng)
        for index, path in enumerate(scene.depths):
            spoil_depth(index, path, rng)
    return root


def spoil(kind: str, images: list[Path], index: int, rng: np.random.Generator) -> None:
    """Replace a frame; 'static' replaces its two neighbours as well, so that a whole sample stands still."""
    image = cv2.imread(str(images[index]))
    if kind == "static":
        for neighbour in images[index - 1 : index + 2]:
            cv2.imwrite(str(neighbour), image)
        return
    image[:] = {
        "black": lambda: 0,
        "saturated": lambda: 255,
        "noise": lambda: rng.integers(0, 256, image.shape),
        "duplicate": lambda: cv2.imread(str(images[index - 1])),
        "half black": lambda: np.where(np.arange(image.shape[1])[:, None] < image.shape[1] // 2, image, 0),
    }[kind]()
    cv2.imwrite(str(images[index]), image)


def spoil_depth(index: int, path: Path, rng: np.random.Generator) -> None:
    """Of every six depth maps: one unknown, one constant, one noise, one unknown but for a pixel; two stay."""
    depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if index % 6 == 0:
        depth[:] = 0
    elif index % 6 == 1:
        depth[:] = 1000
    elif index % 6 == 2:
        depth[:] = rng.integers(0, 2**16, depth.shape)
    elif index % 6 == 3:
        depth[:] = 0
        depth[5, 7] = 1
    cv2.imwrite(str(path), depth)


class FiniteWatch(pl.Callback):
    """Raises AssertionError with the step and the name of a term or gradient that is not finite.

    Attributes:
        seen: names of the terms that were read.
        worst: the largest norm of all gradients together, and its step.
        empty: steps whose masks left nothing.
    """

    def __init__(self):
        self.seen, self.worst, self.empty = set(), (0.0, 0), 0

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        gradients = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
        norms = torch.stack(torch._foreach_norm(list(gradients.values())))
        bad = [name for name, norm in zip(gradients, norms) if not norm.isfinite()]
        assert not bad, f"step {trainer.global_step}: the gradient of {bad[0]} is not finite ({len(bad)} such)"
        self.worst = max(self.worst, (norms.norm().item(), trainer.global_step))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        terms = {n.removeprefix("train/"): v for n, v in trainer.callback_metrics.items() if n.startswith("train/")}
        bad = {name: value.item() for name, value in terms.items() if not value.isfinite()}
        assert not bad, f"step {trainer.global_step}: {bad} of the loss is not finite"
        self.seen |= terms.keys()
        self.empty += terms["coverage"].item() == 0


def train(
    root: Path, version: str, steps: int, precision: str = "32-true", batch_size: int = 4, **options
) -> FiniteWatch:
    """Train a version on a data set; AssertionError when something is not finite."""
    pl.seed_everything(0, verbose=False)
    model = VERSIONS[version](pretrained="none", **options)
    samples = SequenceDataModule(root, 64, 96, batch_size=batch_size, workers=0, pseudo_depth=PseudoDepth("depth"))
    watch = FiniteWatch()
    trainer = pl.Trainer(
        max_steps=steps,
        precision=precision,
        callbacks=[watch, ImageProgressBar()],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, samples)
    return watch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--version", choices=list(VERSIONS), default="v1")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--encoder", default="resnet18", help="a small one takes half the time")
    parser.add_argument("--decoder", choices=list(DECODERS), default="full")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            root = laced_data(Path(folder) / "laced")
            options = {name: getattr(args, name) for name in ("batch_size", "learning_rate", "encoder", "decoder")}
            watch = train(root, args.version, args.steps, args.precision, **options)
        except AssertionError as error:
            print(f"{args.version}: {error}", file=sys.stderr)
            return 1
    print(
        f"{args.version}, {args.encoder}, {args.precision}: {args.steps} steps, every one of "
        f"{', '.join(sorted(watch.seen))} and every gradient finite; largest gradient norm {watch.worst[0]:.3g} in "
        f"step {watch.worst[1]}, {watch.empty} steps without a pixel to learn from"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
