"""Is the scale from odometry right? It is measured on rendered drives whose scale is known, all of it noisy.

    python test/scale_recovery.py --seeds 100-109 --draws 3
    python test/scale_recovery.py --without odometry --draws 1

Each scene is driven through for 10 s and measured once for each draw of noise: depth and odometry with 5 % noise, and
every tenth pixel and step anything from a fifth to five times as large. Prints the signed error of every case, their
mean and the worst; exit status 1 when one is off by 2 % or more, or measured nothing. --without takes noise away.
"""

from __future__ import annotations

import argparse
import math
import sys

import cv2
import numpy as np
from noise_samples import noisy_path, spoilt_depth
from tqdm import tqdm

from scdepth_core.data.synthetic import Mount, Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.scale import OdometryTravel, View
from scdepth_core.scale.robust import robust_mean

SCALE = 2.6  # metres per network unit
SECONDS, RATE = 10, 10
MOUNTS = {"driving": Mount(height=0.5, pitch=10), "handheld": Mount()}
BOUND = 0.02


class Drive:
    """Rendered pictures and depth along a path through a scene."""

    def __init__(self, seed: int, style: str = "driving", size: tuple[int, int] = (240, 180)):
        scene, camera = make_scene(seed, "room"), pinhole_camera(*size, 70)
        self.seed, self.K = seed, camera.K
        self.poses = make_path(scene, 0, SECONDS * RATE, RATE, style, mount=MOUNTS[style])
        renderer = Renderer(scene, camera, supersampling=1)
        self.greys, self.depths = [], []
        for pose in self.poses:
            rgb, depth = renderer.render(pose)
            self.greys.append(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
            self.depths.append(depth)

    def error(self, draw: int, noisy: tuple[str, ...] = ("depth", "odometry")) -> float:
        """ln(scale measured / true scale) with one draw of the noise; NaN when nothing was measured."""
        rng, source = np.random.default_rng([self.seed, draw]), OdometryTravel(lever_arm=0)
        poses = noisy_path(self.poses, rng) if "odometry" in noisy else self.poses
        measured = []
        for grey, depth, pose in zip(self.greys, self.depths, poses):
            predicted = (spoilt_depth(depth, rng) if "depth" in noisy else depth) / np.float32(SCALE)
            measured.append(source.measure(View(predicted, self.K, grey, pose=pose)))
        taken = [(m.log_scale, m.sigma) for m in measured if not m.refused]
        return robust_mean(*np.array(taken).T)[0] - math.log(SCALE) if taken else math.nan


def table(errors: dict[int, list[float]]) -> str:
    """A row of signed errors in percent for each scene."""
    draws = len(next(iter(errors.values())))
    lines = ["| scene | " + " | ".join(f"draw {d}" for d in range(draws)) + " |", "|---" * (draws + 1) + "|"]
    lines += [f"| {seed} | " + " | ".join(f"{100 * e:+.2f} %" for e in row) + " |" for seed, row in errors.items()]
    return "\n".join(lines)


def seed_range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=seed_range, default=range(100, 110), metavar="A-B", help="scenes")
    parser.add_argument("--draws", type=int, default=3, help="draws of the noise for each scene (default: 3)")
    parser.add_argument("--style", choices=list(MOUNTS), default="driving")
    parser.add_argument("--without", choices=("depth", "odometry"), action="append", default=[], help="noise left out")
    args = parser.parse_args()
    noisy = tuple(name for name in ("depth", "odometry") if name not in args.without)
    errors: dict[int, list[float]] = {}
    with tqdm(total=len(args.seeds) * args.draws, unit="case", disable=None) as bar:
        for seed in args.seeds:
            drive, errors[seed] = Drive(seed, args.style), []
            for draw in range(args.draws):
                errors[seed].append(drive.error(draw, noisy))
                bar.update()
    every = np.array(list(errors.values()))
    worst = every.flat[np.argmax(np.abs(np.nan_to_num(every, nan=np.inf)))]
    within = int((np.abs(every) < BOUND).sum())
    print(table(errors))
    print(
        f"\n{every.size} cases, {args.style}: mean {100 * np.nanmean(every):+.2f} %, root mean square "
        f"{100 * np.sqrt(np.nanmean(every**2)):.2f} %, worst {100 * worst:+.2f} %; {within} within {BOUND:.0%}"
    )
    return 0 if within == every.size else 1


if __name__ == "__main__":
    sys.exit(main())
