"""Camera paths through a scene: smooth, clear of every surface, and with parallax rather than mere rotation."""

from __future__ import annotations

import numpy as np

from scdepth_core.data.synthetic.floor_plan import FloorPlan
from scdepth_core.data.synthetic.mount import Mount
from scdepth_core.data.synthetic.scenes import Scene
from scdepth_core.errors import ConfigError, DataError

STYLES = ("handheld", "driving")
CLEARANCE = 0.35  # metres that the camera keeps from every surface
STEP = 0.02  # metres between points of the walked line
RATE = 50.0  # hertz at which motion is simulated before frames are picked
TRIES = 60
FASTEST = 1.0  # metres a second that are drawn
FARTHEST, LONGEST = 500.0, 3600.0  # metres and seconds of a walk; OpenCV looks up 32767 STEPs at most


def make_path(
    scene: Scene,
    seed: int,
    frames: int,
    fps: float = 10.0,
    style: str = "handheld",
    rotation: float = 1.0,
    speed: float | None = None,
    mount: Mount = Mount(),  # noqa: B008 - frozen
) -> np.ndarray:
    """Camera-to-world poses (frames, 4, 4) float64, optical frame (x right, y down, z forward), world z up.

    Args:
        scene: where to walk; seed: which walk; frames, fps: how many poses and how many a second.
        style: 'handheld' walks at eye height, looks around, bobs and shakes; 'driving' looks where it goes.
        rotation: 1 for a calm camera; 0 keeps all shake and turning of the head out; 3 and more shakes hard.
        speed: metres a second; by default drawn from 0.6 to 1.0.
        mount: how the camera is carried.

    Raises:
        ConfigError: for an unknown style or numbers that make no path.
        DataError: if the scene leaves no room for a path.
    """
    if style not in STYLES:
        raise ConfigError(f"path style is '{style}', expected one of {', '.join(STYLES)}")
    _check_numbers(frames, fps, rotation, speed)
    rng = np.random.default_rng([0xCA3E, scene.seed, seed])
    handheld = style == "handheld"
    speed = rng.uniform(0.6, FASTEST) if speed is None else speed
    height = _chosen(mount.height, rng.uniform(1.1, 1.7) if handheld else rng.uniform(0.36, 0.6))
    plan = FloorPlan(scene.size[0], scene.size[1], list(scene.solids), 0.0, height + CLEARANCE + 0.1)
    count = int(np.ceil(frames / fps * RATE)) + 2
    for _ in range(TRIES):
        line = _walk(rng, plan, speed * count / RATE, *((0.3, 1.2) if handheld else (0.5, 3.0)))
        if line is None:
            continue
        flat = _paced(rng, line, speed, count, turning=1.2 if handheld else 0.5)
        yaw, pitch, roll = _gaze(rng, plan, flat, rotation, mount) if handheld else _heading(rng, flat, rotation, mount)
        bob = _bob(rng, count, speed) if handheld else np.zeros((count, 3))
        points = np.c_[flat, np.full(count, height)] + bob
        chosen = np.minimum(np.round(np.arange(frames) * RATE / fps).astype(int), count - 1)
        if scene.clearance(points[chosen]).min() >= CLEARANCE:
            poses = np.tile(np.eye(4), (frames, 1, 1))
            poses[:, :3, :3] = _orientation(yaw[chosen], pitch[chosen], roll[chosen])
            poses[:, :3, 3] = points[chosen]
            return poses
    raise DataError(f"scene {scene.seed} ({scene.kind}) leaves no room for a {style} path – choose another seed")


def _check_numbers(frames: int, fps: float, rotation: float, speed: float | None) -> None:
    fastest = FASTEST if speed is None else speed
    if frames < 1 or not (0 < fps < np.inf and 0 <= rotation < np.inf and 0 < fastest < np.inf):
        raise ConfigError(
            f"a path of {frames} frames, fps {fps:g}, rotation {rotation:g}, speed {fastest:g} cannot be made – "
            "frames, fps and speed have to be above 0, rotation at least 0, and all of them finite"
        )
    seconds = frames / fps
    if seconds > LONGEST or seconds * fastest > FARTHEST:
        raise ConfigError(
            f"{frames} frames at {fps:g} fps are a walk of up to {seconds * fastest:g} m in {seconds:g} s, expected up "
            f"to {FARTHEST:g} m and {LONGEST:g} s – ask for fewer frames or more fps"
        )


def _walk(rng, plan: FloorPlan, length: float, smooth: float, straight: float) -> np.ndarray | None:
    """A line (N, 2) of at least `length` metres, or None where this try got stuck.

    smooth: radius of the bends, metres; straight: how much a change of direction is avoided.
    """
    margin = CLEARANCE + 0.07
    region = np.argwhere(plan.open_region(margin))
    if len(region) < 60:
        return None
    spots = plan.to_metres(region[:, ::-1])
    corners = [spots[rng.integers(len(spots))]]
    heading, done = None, 0.0
    while done < length + 4 * smooth:
        best, best_score = None, -np.inf
        for spot in spots[rng.integers(len(spots), size=24)]:
            leg = spot - corners[-1]
            distance = float(np.hypot(*leg))
            if distance < 0.5 or not _visible(plan, corners[-1], spot, margin):
                continue
            turn = 0.0 if heading is None else np.arccos(np.clip(leg @ heading / distance, -1, 1))
            room = float(plan.clearance_at(spot[None])[0])
            score = min(distance, 3.0) - straight * turn**2 + rng.random() + min(room, 1.2)
            if score > best_score:
                best, best_score = spot, score
        if best is None:
            return None
        leg = best - corners[-1]
        distance = float(np.hypot(*leg))
        heading, done = leg / distance, done + distance
        corners.append(best)
    line = _resampled(np.array(corners), STEP)
    line = _resampled(_smoothed(line, smooth / STEP), STEP)
    return line if plan.clearance_at(line).min() >= CLEARANCE else None


def _visible(plan, start, end, margin) -> bool:
    points = start + np.linspace(0, 1, max(2, int(np.hypot(*(end - start)) / 0.04)))[:, None] * (end - start)
    return bool(plan.clearance_at(points).min() >= margin - 0.02)


def _resampled(line: np.ndarray, step: float) -> np.ndarray:
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(line, axis=0).T))]
    places = np.arange(0, along[-1], step)
    return np.stack([np.interp(places, along, line[:, k]) for k in range(2)], 1)


def _smoothed(signal: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing along the first axis; the ends are held."""
    radius = max(1, int(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    flat = signal.reshape(len(signal), -1)
    padded = np.pad(flat, ((radius, radius), (0, 0)), mode="edge")
    columns = [np.convolve(padded[:, k], kernel, mode="valid") for k in range(flat.shape[1])]
    return np.stack(columns, 1).reshape(signal.shape)


def _drift(rng, count: int, seconds: float, amplitude: float) -> np.ndarray:
    """Smooth noise (count,) with a correlation time of `seconds` and a standard deviation of `amplitude`."""
    sigma = seconds * RATE / 2
    edge = int(3 * sigma) + 1
    noise = _smoothed(rng.standard_normal(count + 2 * edge), sigma)[edge : edge + count]
    return amplitude * noise * np.sqrt(2 * sigma * np.sqrt(np.pi))


def _paced(rng, line: np.ndarray, speed: float, count: int, turning: float) -> np.ndarray:
    """Positions (count, 2) along the line at an uneven pace, slower where the line turns more than `turning` rad/s."""
    tangent = np.gradient(line, axis=0)
    heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    bend = np.abs(np.gradient(_smoothed(heading, 0.15 / STEP))) / STEP  # radians a metre
    local = np.clip(turning / np.maximum(speed * bend, 1e-6), 0.4, 1.0)
    pace = np.clip(1 + _drift(rng, count, 3.0, 0.15), 0.6, 1.0) * speed
    along = np.empty(count)
    place = 0.0
    for i in range(count):
        along[i] = place
        place += pace[i] / RATE * local[min(int(place / STEP), len(local) - 1)]
    axis = np.arange(len(line)) * STEP
    return np.stack([np.interp(along, axis, line[:, k]) for k in range(2)], 1)


def _gaze(rng, plan: FloorPlan, flat: np.ndarray, rotation: float, mount: Mount):
    """Where a hand-held camera looks: (yaw, pitch, roll), radians, turning slowly to where there is much to see, or at
    an angle to its way.
    """
    count = len(flat)
    if mount.yaw is None:
        marks = np.arange(0, count + int(RATE), int(RATE))
        targets = _best_views(rng, plan, flat[np.minimum(marks, count - 1)])
        yaw = _smoothed(np.interp(np.arange(count), marks, targets), 0.7 * RATE)
        yaw = yaw.mean() + min(rotation, 1.0) * (yaw - yaw.mean())
    else:
        yaw = _ahead(flat) + np.deg2rad(mount.yaw)
    shake = [rotation * _drift(rng, count, 0.35, np.deg2rad(0.35)) for _ in range(3)]
    if rotation > 1:
        shake = [s + (rotation - 1) * _drift(rng, count, 0.5, np.deg2rad(2.5)) for s in shake]
    tilt = -np.deg2rad(_chosen(mount.pitch, -rng.uniform(-18, 2)))
    pitch = tilt + _drift(rng, count, 3.0, np.deg2rad(4) * min(rotation, 1.5))
    roll = np.deg2rad(rng.normal() * 1.5) + _drift(rng, count, 3.0, np.deg2rad(1.5) * rotation)
    return yaw + shake[0], pitch + shake[1], roll + shake[2]


def _best_views(rng, plan: FloorPlan, spots: np.ndarray) -> np.ndarray:
    """Yaw (M,) at spots (M, 2) one second apart: the sequence with the best views, found by dynamic programming.

    A view is good if it sees far, and sideways of the walk, where parallax is largest. Between two spots the camera
    turns by at most 15 degrees.
    """
    bins, reach = 72, 3
    angles = 2 * np.pi * np.arange(bins) / bins
    walk = np.gradient(spots, axis=0) if len(spots) > 1 else np.zeros((1, 2))
    whim = _smoothed(rng.standard_normal((len(spots), bins)), 2.0)
    score = np.empty((len(spots), bins))
    for i, spot in enumerate(spots):
        sight = plan.view_distance(spot, angles)
        fan = np.stack([np.roll(sight, k) for k in range(-5, 6)])
        sideways = np.abs(np.sin(angles - np.arctan2(walk[i, 1], walk[i, 0])))
        score[i] = np.log(fan).mean(0) + 2 * np.minimum(fan.min(0) - 1.0, 0) + 0.5 * sideways + 0.5 * whim[i]
    turns = np.arange(-reach, reach + 1)
    best, came = score[0], np.zeros((len(spots), bins), int)
    for i in range(1, len(spots)):
        options = np.stack([np.roll(best, turn) - 0.02 * turn**2 for turn in turns])
        came[i] = options.argmax(0)
        best = options.max(0) + score[i]
    current = int(best.argmax())
    yaw = [angles[current]]
    for i in range(len(spots) - 1, 0, -1):
        turn = turns[came[i, current]]
        current = (current - turn) % bins
        yaw.append(yaw[-1] - turn * 2 * np.pi / bins)
    return np.array(yaw[::-1])


def _heading(rng, flat: np.ndarray, rotation: float, mount: Mount):
    """A driving camera looks along its own way, with a fixed tilt and a little vibration."""
    yaw = _ahead(flat)
    side, tilt = _chosen(mount.yaw, rng.uniform(-35, 35)), -_chosen(mount.pitch, -rng.uniform(-6, 8))
    shake = [rotation * _drift(rng, len(flat), 0.2, np.deg2rad(0.12)) for _ in range(3)]
    return yaw + np.deg2rad(side) + shake[0], np.deg2rad(tilt) + shake[1], shake[2]


def _ahead(flat: np.ndarray) -> np.ndarray:
    """Yaw (count,) of the way, radians."""
    ahead = np.gradient(_smoothed(flat, 0.3 * RATE), axis=0)
    return _smoothed(np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])), 0.4 * RATE)


def _chosen(fixed: float | None, drawn: float) -> float:
    return drawn if fixed is None else fixed


def _bob(rng, count: int, speed: float) -> np.ndarray:
    """(count, 3) metres: the steps of a walker and the sway of a hand."""
    phase = 2 * np.pi * (np.cumsum(np.full(count, 1.4 * np.sqrt(speed / 0.8))) / RATE + rng.random())
    sway = np.stack([_drift(rng, count, 1.0, 0.012) for _ in range(3)], 1)
    sway[:, 2] += 0.012 * np.sin(phase)
    return sway


def _orientation(yaw, pitch, roll) -> np.ndarray:
    """Camera-to-world rotations (N, 3, 3): yaw about the vertical, then pitch up, then roll about the optical axis."""
    forward = np.stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)], -1)
    right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], -1)
    down = np.cross(forward, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([c * right + s * down, c * down - s * right, forward], -1)
