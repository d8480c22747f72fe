"""The losses of V1, V2 and V3 as one writes them down first: a network pass a frame and a pair, a warp after the other.

Nobody trains with this. It is the baseline of `scdepth bench train`, and a second opinion in the tests: with the same
weights and the same batch it gives the loss and the gradients of the modules with `batch_frames` off. The two terms of
V3 that draw pixels are the modules' own, because written otherwise they would draw others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.geometry.pose import euler_to_matrix, pose_vec2mat
from scdepth_core.losses import (
    TRUSTED_ROTATION,
    drawn_rotation,
    dynamic_ranking_loss,
    normal_ranking_loss,
    pseudo_rotation,
)
from scdepth_core.networks.normalization import normalize
from scdepth_core.training.base import SCDepthModule

NEAREST = 1e-3  # of a point that counts, network units
Frame = tuple[Tensor, Tensor, Tensor]  # image (B, 3, H, W), depth (B, 1, H, W), 1 where it holds a picture else 0
Maps = tuple[Tensor, Tensor, Tensor, Tensor]  # photometric, colour and geometry error, and where they count


def plain_loss(module: SCDepthModule, batch: dict[str, Tensor]) -> Tensor:
    """The weighted total of a module's loss, with its networks, weights and options (but for `reference_numerics`)."""
    target, *sources = normalize(batch["images"]).unbind(1)
    K, everywhere, terms = batch["K"], torch.ones_like(batch["images"][:, 0, :1], dtype=torch.float32), {}
    seen = [everywhere] * len(sources)
    if module.version == "v2":
        sources, seen, terms = _rectify(module, target, sources, K)
    frames = [(image, module.depth_net(image), s) for image, s in zip([target, *sources], [everywhere, *seen])]
    poses = [(module.pose_net(target, source), module.pose_net(source, target)) for source in sources]
    with torch.autocast(target.device.type, enabled=False):
        into_target = [_pair(frames[0], s, pose, K, module.options) for s, (pose, _) in zip(frames[1:], poses)]
        into_sources = [_pair(s, frames[0], pose, K, module.options) for s, (_, pose) in zip(frames[1:], poses)]
        terms["photometric"], terms["geometry"], counted = _consistency(into_target, into_sources, module.options)
        if module.version == "v3":
            terms |= _pseudo_depth_terms(frames[0], batch, into_target, module.step_generator())
        else:
            terms["smoothness"] = _smoothness(frames[0][1], target)
    return sum(getattr(module.weights, name) * term for name, term in terms.items()) * (counted > 0)


def _pair(target: Frame, source: Frame, pose: Tensor, K: Tensor, options) -> Maps:
    """Errors of a source warped into a target by the vector (B, 6) of PoseNet."""
    image, depth, seen = target
    transform = pose_vec2mat(pose)
    points = transform[:, :, :3] @ (_rays(depth, K) * depth.flatten(2)) + transform[:, :, 3:]
    pixels, computed, valid = _project(points, K, depth.shape[2:])
    warped, projected, kept = (_sample(layer, pixels) for layer in source)
    valid = valid & (kept > 0.999) & (seen > 0)
    geometry = ((computed - projected).abs() / (computed + projected).clamp(min=1e-6)).clamp(0, 1)
    colour = (image - warped).abs().mean(1, keepdim=True)
    if options.auto_mask:
        valid = valid & (colour < (image - source[0]).abs().mean(1, keepdim=True))
    photometric = (image - warped).abs().clamp(0, 1)
    if options.ssim_weight > 0:
        photometric = (1 - options.ssim_weight) * photometric + options.ssim_weight * _ssim_error(image, warped)
    photometric = photometric.mean(1, keepdim=True)
    if options.dynamic_mask:
        photometric = photometric * (1 - geometry.detach())
    return photometric, colour, geometry, valid


def _rays(like: Tensor, K: Tensor) -> Tensor:
    """K^-1 (u, v, 1) of every pixel, (B, 3, H W)."""
    height, width = like.shape[2:]
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)]).flatten(1).to(like)
    return torch.inverse(K) @ pixels


def _project(points: Tensor, K: Tensor, size: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (B, 2, H, W) of points (B, 3, H W), their depth of at least 1e-3, and which are in front and inside."""
    image, depth = K @ points, points[:, 2:]
    computed = depth.clamp(min=NEAREST)
    pixels = image[:, :2] / computed
    u, v, slack = pixels[:, :1], pixels[:, 1:], 1e-3
    inside = (u >= -slack) & (u <= size[1] - 1 + slack) & (v >= -slack) & (v <= size[0] - 1 + slack)
    return tuple(maps.unflatten(2, size) for maps in (pixels, computed, inside & (depth > NEAREST)))


def _sample(image: Tensor, pixels: Tensor) -> Tensor:
    height, width = image.shape[2:]
    grid = torch.stack([(2 * pixels[:, 0] + 1) / width - 1, (2 * pixels[:, 1] + 1) / height - 1], dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _ssim_error(x: Tensor, y: Tensor) -> Tensor:
    """(1 - SSIM) / 2 over windows of 7 x 7, by their means."""
    x, y = F.pad(x, [3] * 4, mode="reflect"), F.pad(y, [3] * 4, mode="reflect")
    mean_x, mean_y = F.avg_pool2d(x, 7, stride=1), F.avg_pool2d(y, 7, stride=1)
    variance_x = F.avg_pool2d(x * x, 7, stride=1) - mean_x * mean_x
    variance_y = F.avg_pool2d(y * y, 7, stride=1) - mean_y * mean_y
    covariance = F.avg_pool2d(x * y, 7, stride=1) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    ssim = likeness / ((mean_x * mean_x + mean_y * mean_y + 0.01**2) * (variance_x + variance_y + 0.03**2))
    return ((1 - ssim) / 2).clamp(0, 1)


def _consistency(into_target: list[Maps], into_sources: list[Maps], options) -> tuple[Tensor, Tensor, Tensor]:
    """Mean photometric and geometry error over what counts, and how many pixels that are."""
    pairs = [_best(into_target), *into_sources] if options.minimum else into_target + into_sources
    counted = sum(valid.sum() for *_, valid in pairs)
    means = (sum(torch.where(pair[3], pair[i], 0.0).sum() for pair in pairs) / counted.clamp(min=1) for i in (0, 2))
    return *means, counted


def _best(candidates: list[Maps]) -> Maps:
    """Of several sources, at each pixel the one that counts there and has the smallest colour error."""
    best = candidates[0]
    for other in candidates[1:]:
        better = other[3] & (~best[3] | (other[1] < best[1]))
        best = tuple(torch.where(better, new, old) for new, old in zip(other, best))
    return best


def _smoothness(depth: Tensor, image: Tensor) -> Tensor:
    depth = depth / (depth.mean((2, 3), keepdim=True) + 1e-7)
    along_x = (depth[..., 1:] - depth[..., :-1]).abs(), (image[..., 1:] - image[..., :-1]).abs()
    along_y = (depth[..., 1:, :] - depth[..., :-1, :]).abs(), (image[..., 1:, :] - image[..., :-1, :]).abs()
    return sum((bend * torch.exp(-edge.mean(1, keepdim=True))).mean() for bend, edge in (along_x, along_y))


def _rectify(module, target: Tensor, sources: list[Tensor], K: Tensor) -> tuple[list, list, dict[str, Tensor]]:
    """Sources turned into the target's orientation, where they hold a picture, and what V2 asks of RectifyNet."""
    rotations = [module.rectify_net(target, source) for source in sources]
    turned = [_turn(source, rotation, K) for source, rotation in zip(sources, rotations)]
    before = torch.cat(rotations)
    generator = module.step_generator()
    pseudo = pseudo_rotation(before, generator)
    drawn = drawn_rotation(len(before), TRUSTED_ROTATION[1], generator, before.device)
    known, aside = (
        [_turn(source, rotation, K) for source, rotation in zip(sources, rotations.chunk(len(sources)))]
        for rotations in (pseudo, drawn)
    )
    shown, shown_known, shown_aside = (
        [_filled(*pair, source) for pair, source in zip(pairs, sources)] for pairs in (turned, known, aside)
    )
    after = torch.cat([module.rectify_net(target, image) for image in shown])
    found = torch.cat([module.rectify_net(image, source) for image, source in zip(shown_known, sources)])
    less = torch.cat([module.rectify_net(target, image) for image in shown_aside])
    left = euler_to_matrix(less) @ euler_to_matrix(before).transpose(1, 2) @ euler_to_matrix(drawn)
    angles = [(left[:, i, j] - left[:, j, i]) / 2 for i, j in ((2, 1), (0, 2), (1, 0))]
    terms = {
        "rotation_consistency": (found - pseudo).abs().mean(),
        "rotation_triplet": (after.abs() - before.abs() + 0.05).clamp(min=0).mean(),
        "rotation_equivariance": torch.stack(angles).abs().mean(),
    }
    return [image for image, _ in turned], [seen for _, seen in turned], terms


def _turn(image: Tensor, angles: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    with torch.autocast(image.device.type, enabled=False):
        pixels, _, seen = _project(euler_to_matrix(angles) @ _rays(image, K), K, image.shape[2:])
        return _sample(image, pixels), seen.float()


def _filled(turned: Tensor, seen: Tensor, source: Tensor) -> Tensor:
    backwards = torch.arange(source.shape[3] - 1, -1, -1, device=source.device)
    others = torch.cat([source[-1:], source[:-1]]) if len(source) > 1 else source[..., backwards]
    return seen * turned + (1 - seen) * others


def _pseudo_depth_terms(target: Frame, batch, into_target: list[Maps], generator) -> dict[str, Tensor]:
    """The three terms of V3."""
    image, depth, _ = target
    pseudo = batch["pseudo_depth"]
    normals, pseudo_normals = _normals(depth, batch["K"]), _normals(pseudo, batch["K"])
    known = F.conv2d((F.pad(pseudo, [1] * 4, value=1.0) > 0).float(), image.new_ones(1, 1, 3, 3)) > 8.5
    error = (normals - pseudo_normals).abs().mean(1, keepdim=True)
    disagreement = sum(torch.where(valid, geometry, 0.0) for _, _, geometry, valid in into_target) / len(into_target)
    return {
        "normal_matching": torch.where(known, error, 0.0).sum() / known.sum().clamp(min=1),
        "dynamic_ranking": dynamic_ranking_loss(depth, pseudo, 1 - disagreement, generator),
        "normal_ranking": normal_ranking_loss(normals, pseudo_normals, pseudo, image, generator),
    }


def _normals(depth: Tensor, K: Tensor) -> Tensor:
    """Unit normals (B, 3, H, W): Sobel differences of the points, one along x crossed with one along y."""
    points = F.pad((_rays(depth, K) * depth.flatten(2)).unflatten(2, depth.shape[2:]), [1] * 4, mode="replicate")
    smooth_y = (points[..., :-2, :] + 2 * points[..., 1:-1, :] + points[..., 2:, :]) / 4
    smooth_x = (points[..., :-2] + 2 * points[..., 1:-1] + points[..., 2:]) / 4
    along_x = (smooth_y[..., 2:] - smooth_y[..., :-2]) / 2
    along_y = (smooth_x[..., 2:, :] - smooth_x[..., :-2, :]) / 2
    return F.normalize(torch.cross(along_x, along_y, dim=1), dim=1)
