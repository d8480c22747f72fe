"""Does RectifyNet learn the true rotation? It trains on rendered views that differ by a rotation, and is measured.

    python test/rotation_recovery.py --steps 3000 --device cuda

The truth is used for measuring, never for training: the terms are those of V2. Prints the mean angle between what the
network says and the truth on pairs that it has not seen; exit status 1 when it is 0.3 degrees or more.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scdepth_core.data.synthetic import Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.geometry.pose import euler_to_matrix, rotation_angle
from scdepth_core.geometry.warping import inverse_rotation_warp
from scdepth_core.losses import (
    photometric_error,
    pseudo_rotation,
    rotation_consistency_loss,
    rotation_triplet_loss,
)
from scdepth_core.losses.reduction import masked_mean
from scdepth_core.networks import RectifyNet
from scdepth_core.networks.normalization import normalize

LARGEST = 0.1  # radians about each axis
GOAL = 0.3  # degrees


def rendered_pairs(count: int, size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Targets and sources (count, 3, H, W), normalised, the rotations between them (count, 3), and K (1, 3, 3)."""
    rng, camera = np.random.default_rng(seed), pinhole_camera(*size, 65.0)
    targets, sources, rotations = [], [], []
    for scene_seed in range(seed, seed + 4):
        scene = make_scene(scene_seed, "room")
        renderer = Renderer(scene, camera)
        for pose in make_path(scene, scene_seed, count // 4, fps=2.0):
            angles = rng.uniform(-LARGEST, LARGEST, 3)
            turned = pose.copy()
            turned[:3, :3] = pose[:3, :3] @ euler_to_matrix(torch.from_numpy(angles)).numpy().T
            targets.append(renderer.render(pose)[0])
            sources.append(renderer.render(turned)[0])
            rotations.append(angles)
    images = [normalize(torch.from_numpy(np.stack(views).transpose(0, 3, 1, 2).copy())) for views in (targets, sources)]
    return *images, torch.tensor(np.stack(rotations), dtype=torch.float32), torch.from_numpy(camera.K).float()[None]


@torch.no_grad()
def mean_error(network: RectifyNet, targets: Tensor, sources: Tensor, rotations: Tensor) -> float:
    """Mean angle between prediction and truth, degrees."""
    network.eval()
    left = euler_to_matrix(network(targets, sources)) @ euler_to_matrix(rotations).transpose(1, 2)
    network.train()
    return math.degrees(rotation_angle(left).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=800)
    parser.add_argument("--rate", type=float, default=3e-4, help="learning rate at its highest")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    *training, K = (t.to(args.device) for t in rendered_pairs(args.pairs, (128, 96), seed=0))
    *unseen, _ = (t.to(args.device) for t in rendered_pairs(64, (128, 96), seed=1000))
    network = RectifyNet().to(args.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=args.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=args.steps)
    K = K.repeat(args.batch, 1, 1)
    progress = tqdm(range(args.steps), unit="step", disable=None)
    for step in progress:
        chosen = torch.randint(len(training[0]), (args.batch,), device=args.device)
        target, source = (images[chosen] for images in training[:2])
        before = network(target, source)
        pseudo = pseudo_rotation(before)
        rectified, seen = inverse_rotation_warp(source, before, K)
        known, _ = inverse_rotation_warp(source, pseudo, K)
        after, found = network(torch.cat([target, known]), torch.cat([rectified, source])).split(args.batch)
        loss = (
            masked_mean(photometric_error(target, rectified), seen)
            + rotation_consistency_loss(found, pseudo)
            + rotation_triplet_loss(before, after)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            progress.set_postfix(degrees=f"{mean_error(network, *unseen):.3f}")
    error = mean_error(network, *unseen)
    print(f"{error:.3f} degrees off, goal {GOAL}")
    return 0 if error < GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
