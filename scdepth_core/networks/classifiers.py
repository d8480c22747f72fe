"""Classification networks of torchvision that encoders are made of, and their ImageNet weights."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from scdepth_core.errors import CheckpointError, first_line

CLASSIFIERS = {  # and the enum of its weights
    "resnet18": "ResNet18_Weights",
    "resnet50": "ResNet50_Weights",
    "mobilenet_v2": "MobileNet_V2_Weights",
    "mobilenet_v3_small": "MobileNet_V3_Small_Weights",
    "mobilenet_v3_large": "MobileNet_V3_Large_Weights",
}


def build_classifier(name: str) -> nn.Module:
    """One of CLASSIFIERS, with random weights."""
    return getattr(_models(), name)(weights=None)


def imagenet_state(name: str, source: str) -> dict[str, Tensor] | None:
    """ImageNet classification weights of a torchvision network.

    Args:
        name: one of CLASSIFIERS.
        source: 'imagenet' (torchvision's cache, downloaded into it once), a local state dict of this network, a folder
            that holds it under torchvision's file name, or 'none'.

    Returns:
        The state dict, or None for 'none'.

    Raises:
        CheckpointError: when the download or the file fails, or is of another network; the message names the choices.
    """
    if source == "none":
        return None
    weights = getattr(_models(), CLASSIFIERS[name]).IMAGENET1K_V1
    file = Path(weights.url).name
    choices = (
        f"pass a local file, or a folder with {file} in it, with --model.pretrained PATH, or train from scratch with "
        "--model.pretrained none"
    )
    if source == "imagenet":
        try:
            return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except Exception as error:  # no connection, a proxy's page, a full disk, half a file in the cache
            cache = Path(torch.hub.get_dir()) / "checkpoints" / file
            raise CheckpointError(
                f"ImageNet weights of {name} are not in torchvision's cache ({cache}) and cannot be downloaded "
                f"({first_line(error)}) – put {file} there, {choices}"
            ) from error
    path = Path(source) / file if Path(source).is_dir() else Path(source)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read ImageNet weights from '{path}' ({error.strerror}) – {choices}") from error
    except Exception as error:  # torch.load raises a dozen kinds, of which some advise to switch its safety off
        raise CheckpointError(
            f"'{path}' is not a file of torchvision's classification weights, such as {file} – {choices}; weights of "
            "this package belong to --model.start"
        ) from error
    with torch.device("meta"):
        wanted = _shapes(build_classifier(name).state_dict())
    found = _shapes(state) if isinstance(state, dict) else {}
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if wrong:
        raise CheckpointError(
            f"'{path}' does not hold torchvision's {name} ({len(wrong)} entries differ, the first is '{wrong[0]}') – "
            f"{choices}"
        )
    return state


def _models() -> ModuleType:
    """torchvision.models, imported when a network is built: it takes seconds, and a converted network needs none."""
    from torchvision import models

    return models


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple | None]:
    """Shape of each entry; without the batch counters, which older files lack."""
    return {key: getattr(value, "shape", None) for key, value in state.items() if "num_batches_tracked" not in key}
