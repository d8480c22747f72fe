"""Feature pyramids: ResNets from torchvision, for one image (depth) or a stacked pair (pose), or another by name."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet

from scdepth_core.errors import CheckpointError, ConfigError
from scdepth_core.networks.timm_encoder import PREFIX, TimmEncoder

ENCODERS = {
    "resnet18": (resnet.resnet18, resnet.ResNet18_Weights.IMAGENET1K_V1, (64, 64, 128, 256, 512)),
    "resnet50": (resnet.resnet50, resnet.ResNet50_Weights.IMAGENET1K_V1, (64, 256, 512, 1024, 2048)),
}


def build_encoder(name: str) -> nn.Module:
    """The backbone of a name: resnet18, resnet50, or timm/NAME. ConfigError for any other."""
    return TimmEncoder(name) if name.startswith(PREFIX) else ResNetEncoder(name)


class ResNetEncoder(nn.Module):
    """A ResNet that returns its five feature maps, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input size.

    Args:
        name: 'resnet18' or 'resnet50'.
        images: how many RGB images are stacked along the channels (1 for depth, 2 for pose).

    Input (B, 3 * images, H, W), normalised; H and W should be multiples of 32.
    """

    def __init__(self, name: str = "resnet18", images: int = 1):
        super().__init__()
        if name not in ENCODERS:
            raise ConfigError(f"encoder '{name}' is unknown, expected {', '.join(ENCODERS)} or {PREFIX}NAME")
        self.name = name
        build, _, self.channels = ENCODERS[name]
        self.encoder = build(weights=None)
        if images > 1:
            self.encoder.conv1 = nn.Conv2d(3 * images, 64, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.encoder.fc.requires_grad_(False)  # kept for its name in checkpoints, never run

    def forward(self, image: Tensor) -> list[Tensor]:
        net = self.encoder
        features = [net.relu(net.bn1(net.conv1(image)))]
        features.append(net.layer1(net.maxpool(features[-1])))
        for layer in (net.layer2, net.layer3, net.layer4):
            features.append(layer(features[-1]))
        return features

    def start_from(self, source: str) -> None:
        """Take ImageNet weights, from where imagenet_state finds them; 'none' leaves the random ones."""
        state = imagenet_state(self.name, source)
        if state is not None:
            self.load_imagenet(state)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start from classification weights (imagenet_state); for stacked images the first convolution averages."""
        images = self.encoder.conv1.in_channels // 3
        state = dict(state)
        state["conv1.weight"] = state["conv1.weight"].repeat(1, images, 1, 1) / images
        self.encoder.load_state_dict(state)


def imagenet_state(name: str, source: str) -> dict[str, Tensor] | None:
    """ImageNet classification weights of a torchvision ResNet.

    Args:
        name: 'resnet18' or 'resnet50'.
        source: 'imagenet' (torchvision's cache, downloaded into it once), a local state dict of this network, a folder
            that holds it under torchvision's file name, or 'none'.

    Returns:
        The state dict, or None for 'none'.

    Raises:
        CheckpointError: when the download or the file fails, or is of another network; the message names the choices.
    """
    if source == "none":
        return None
    weights = ENCODERS[name][1]
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
                f"({_first_line(error)}) – put {file} there, {choices}"
            ) from error
    path = Path(source) / file if Path(source).is_dir() else Path(source)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for a file that is not a state dict
        raise CheckpointError(
            f"cannot read ImageNet weights from '{path}' ({_first_line(error)}) – {choices}"
        ) from error
    with torch.device("meta"):
        wanted = _shapes(ENCODERS[name][0](weights=None).state_dict())
    found = _shapes(state) if isinstance(state, dict) else {}
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if wrong:
        raise CheckpointError(
            f"'{path}' does not hold torchvision's {name} ({len(wrong)} entries differ, the first is '{wrong[0]}') – "
            f"{choices}"
        )
    return state


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple | None]:
    """Shape of each entry; without the batch counters, which older files lack."""
    return {key: getattr(value, "shape", None) for key, value in state.items() if "num_batches_tracked" not in key}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
