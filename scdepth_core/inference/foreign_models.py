"""Depth networks of others, by name or file, for pseudo depth: an ONNX file, or a pipeline of `transformers`.

Both libraries are optional; what is missing is said in a sentence with the way out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from scdepth_core.errors import BackendError, ConfigError, first_line
from scdepth_core.inference.backends.libraries import unreported
from scdepth_core.machine import resolve_device

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALLEST_SIDE = 8  # of a map; outputs with less are scores or features
MOST_STRETCH = 1.5  # of a map against its image; what padding to a network's stride makes of small images is less
INSTALL = "pip install '.[pseudo-depth]' in the folder of scdepth_ros"


class DepthModel(Protocol):
    """Whatever makes a map of numbers (h, w) float32 of an image (H, W, 3) uint8 RGB."""

    def __call__(self, rgb: np.ndarray) -> np.ndarray: ...


def load_model(name: str, size: tuple[int, int] | None = None, device: str = "cpu") -> DepthModel:
    """The model of an ONNX file, or the `transformers` depth-estimation pipeline of a name or folder.

    Args:
        size: (width, height) of the input of an ONNX file that takes any.

    Raises:
        BackendError: a library or the model is missing. ConfigError: the file is no depth network, or needs a size, or
            an option is for the other kind of model.
    """
    if name.lower().endswith(".onnx"):
        if device != "cpu":
            raise ConfigError(f"--device is {device}, but ONNX files run on the CPU here – leave it out")
        return OnnxModel(Path(name), size)
    if size is not None:
        raise ConfigError("--input-size is for ONNX files, a pipeline of transformers knows its own")
    return PipelineModel(name, device)


class OnnxModel:
    """An ONNX file that takes RGB (1, 3, H, W), normalised as ImageNet networks are, and gives one map.

    Raises:
        BackendError: onnxruntime is not installed. ConfigError: the file is not such a network.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None):
        try:
            with unreported():
                import onnxruntime
        except ImportError:
            raise BackendError(f"'{path}' needs onnxruntime, which is not installed – {INSTALL}") from None
        if not path.is_file():
            raise BackendError(f"model '{path}' does not exist – give an .onnx file, or the name of a model")
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # what it would log, our sentence says
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has an exception of its own for each way in which a file is broken
            reason = first_line(error)
            raise ConfigError(f"'{path}' cannot be read as an ONNX network ({reason}) – export it again") from error
        taken = self._session.get_inputs()
        shape = taken[0].shape
        is_image = len(shape) == 4 and shape[1] == 3 and not (isinstance(shape[0], int) and shape[0] != 1)
        if len(taken) != 1 or not is_image or taken[0].type != "tensor(float)":
            found = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in taken)
            raise ConfigError(f"'{path}' takes {found}, expected one float image (1, 3, H, W) – export it so")
        self._path, self._input = path, taken[0].name
        self.size, self._takes_any = _input_size(path, shape[2:], size)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        resized = cv2.resize(rgb, self.size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        image = ((resized - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)).transpose(2, 0, 1)[None]
        try:
            output = self._session.run(None, {self._input: np.ascontiguousarray(image)})[0]
        except Exception as error:  # one of onnxruntime's own, as above
            way_out = (
                "give another --input-size, many take multiples of 14 or 32" if self._takes_any else "export again"
            )
            raise ConfigError(
                f"'{self._path}' fails on an image of {self.size[0]}x{self.size[1]} ({first_line(error)}) – {way_out}"
            ) from error
        return _one_map(output, self.size)


def _input_size(path: Path, sides: list, size: tuple[int, int] | None) -> tuple[tuple[int, int], bool]:
    """(width, height) to give a network, and whether it takes others, too.

    Args:
        sides: rows and columns of its input, numbers where they are fixed.
        size: what was asked for.
    """
    fixed = [side if isinstance(side, int) else None for side in reversed(sides)]
    taken = "x".join(letter if side is None else str(side) for side, letter in zip(fixed, "WH"))
    if None not in fixed:
        size = size or tuple(fixed)
    if size is None:
        free = {(True, True): "size", (True, False): "width", (False, True): "height"}[tuple(s is None for s in fixed)]
        raise ConfigError(f"'{path}' takes images of any {free} – say which with --input-size {taken}")
    if any(side not in (None, asked) for side, asked in zip(fixed, size)):
        raise ConfigError(f"--input-size is {size[0]}x{size[1]}, but '{path}' takes {taken} only")
    return size, None in fixed


class PipelineModel:
    """A depth-estimation pipeline of `transformers`: a name on the hub, or a local folder.

    Raises:
        BackendError: transformers or the device is not there, the model is neither here nor to be had, or it fails.
    """

    def __init__(self, name: str, device: str = "cpu"):
        on = str(resolve_device(device))
        try:
            from PIL import Image
            from transformers import pipeline
        except (ImportError, RuntimeError) as error:  # the second where its own parts do not import
            raise BackendError(
                f"model '{name}' needs transformers ({_reason(error)}) – {INSTALL}, or give an .onnx file"
            ) from None
        self._name, self._to_picture = name, Image.fromarray
        try:
            self._pipeline = pipeline(task="depth-estimation", model=name, device=on)
        except (OSError, ValueError) as error:  # what transformers raises without a connection, and for other networks
            raise BackendError(
                f"model '{name}' is not on this machine and cannot be fetched, or does not estimate depth "
                f"({_reason(error)}) – download it where there is a connection and give its folder, or give an .onnx "
                "file"
            ) from error
        except ImportError as error:
            raise BackendError(
                f"model '{name}' needs a library that is not installed ({_reason(error)}) – install it with pip, or "
                "give an .onnx file"
            ) from error
        except Exception as error:  # whatever a model's own code raises, KeyError for a kind that it does not know
            raise BackendError(
                f"transformers cannot load model '{name}' on {on} ({_reason(error)}) – update transformers, choose "
                "another model or --device, or give an .onnx file"
            ) from error

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        try:
            made = self._pipeline(self._to_picture(rgb))["predicted_depth"]
        except Exception as error:  # as above, and where memory does not suffice
            raise BackendError(
                f"model '{self._name}' fails on an image of {rgb.shape[1]}x{rgb.shape[0]} ({_reason(error)}) – choose "
                "another model or --device, or give an .onnx file"
            ) from error
        return _one_map(torch.as_tensor(made).float().cpu().numpy())


def _reason(error: Exception) -> str:
    """The beginning of what transformers says, on one line, with its kind: a KeyError says no more than the key."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _one_map(output: np.ndarray, seen: tuple[int, int] | None = None) -> np.ndarray:
    """(h, w) float32 of a network's output with leading sides of 1.

    Args:
        seen: (width, height) of the image that the network saw, which its map has the aspect ratio of. A pipeline does
            not tell: some make a square of every image.

    Raises:
        ConfigError: it is no map of an image, but the scores of a classifier, for example.
    """
    if output.ndim < 2 or any(side != 1 for side in output.shape[:-2]):
        raise ConfigError(f"the model gives {output.shape}, expected one map (1, H, W) or (1, 1, H, W)")
    rows, columns = output.shape[-2:]
    stretch = 1.0 if seen is None or not rows else columns * seen[1] / (rows * seen[0])
    if min(rows, columns) < SMALLEST_SIDE or not 1 / MOST_STRETCH <= stretch <= MOST_STRETCH:
        image = "" if seen is None else f" for an image of {seen[0]}x{seen[1]}"
        raise ConfigError(
            f"the model gives {output.shape}{image}, expected a map of the image, at least {SMALLEST_SIDE}x"
            f"{SMALLEST_SIDE} and of its aspect ratio – is it a depth network?"
        )
    return output.reshape(output.shape[-2:]).astype(np.float32)
