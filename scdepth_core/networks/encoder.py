"""Feature pyramids out of torchvision: ResNets, for one image (depth) or a stacked pair (pose), and MobileNets."""

from __future__ import annotations

from torch import Tensor, nn

from scdepth_core.errors import ConfigError
from scdepth_core.networks.classifiers import build_classifier, imagenet_state
from scdepth_core.networks.timm_encoder import PREFIX, TimmEncoder

RESNETS = {"resnet18": (64, 64, 128, 256, 512), "resnet50": (64, 256, 512, 1024, 2048)}  # channels
MOBILENETS = {  # the last block at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input size, and its channels
    "mobilenet_v2": ((1, 3, 6, 13, 17), (16, 24, 32, 96, 320)),
    "mobilenet_v3_small": ((0, 1, 3, 8, 11), (16, 16, 24, 48, 96)),
    "mobilenet_v3_large": ((1, 3, 6, 12, 15), (16, 24, 40, 112, 160)),
}


def build_encoder(name: str) -> nn.Module:
    """The backbone of a name: one of torchvision's above, or timm/NAME. ConfigError for any other."""
    if name.startswith(PREFIX):
        return TimmEncoder(name)
    return MobileNetEncoder(name) if name in MOBILENETS else ResNetEncoder(name)


class ResNetEncoder(nn.Module):
    """A ResNet that returns its five feature maps, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input size.

    Args:
        name: 'resnet18' or 'resnet50'.
        images: how many RGB images are stacked along the channels (1 for depth, 2 for pose).

    Input (B, 3 * images, H, W), normalised; H and W should be multiples of 32.
    """

    def __init__(self, name: str = "resnet18", images: int = 1):
        super().__init__()
        if name not in RESNETS:
            known = ", ".join((*RESNETS, *MOBILENETS))
            raise ConfigError(f"encoder '{name}' is unknown, expected {known} or {PREFIX}NAME")
        self.name, self.channels = name, RESNETS[name]
        self.encoder = build_classifier(name)
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


class MobileNetEncoder(nn.Module):
    """A MobileNet without its classifier, that returns its feature maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input.

    Args:
        name: one of MOBILENETS.

    Input (B, 3, H, W), normalised; H and W should be multiples of 32.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.ends, self.channels = MOBILENETS[name]
        self.encoder = build_classifier(name).features[: self.ends[-1] + 1]

    def forward(self, image: Tensor) -> list[Tensor]:
        features, x = [], image
        for index, block in enumerate(self.encoder):
            x = block(x)
            if index in self.ends:
                features.append(x)
        return features

    def start_from(self, source: str) -> None:
        """Take ImageNet weights, from where imagenet_state finds them; 'none' leaves the random ones."""
        state = imagenet_state(self.name, source)
        if state is not None:
            taught = {name.removeprefix("features."): value for name, value in state.items()}
            own = self.encoder.state_dict()
            self.encoder.load_state_dict(own | {name: value for name, value in taught.items() if name in own})
