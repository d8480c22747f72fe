"""Feature pyramids of any backbone of the timm library, an optional one: small networks for small robots."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from scdepth_core.errors import BackendError, CheckpointError, ConfigError, first_line

PREFIX = "timm/"
REDUCTIONS = (2, 4, 8, 16, 32)
SUFFIXES = (".safetensors", ".pth", ".bin")


class TimmEncoder(nn.Module):
    """A timm backbone that returns its feature maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input size.

    Args:
        name: 'timm/' and a model name of timm, such as timm/mobilenetv3_small_100.

    Input (B, 3, H, W), normalised; H and W should be multiples of 32. Where a backbone starts at 1/4, as ConvNeXt does,
    the first map is None and its number of channels 0.

    Raises:
        BackendError: timm is not installed. ConfigError: it has no such model, or one without these maps.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name.removeprefix(PREFIX)
        timm = _library(name)
        try:
            self.encoder = timm.create_model(self.name, features_only=True, pretrained=False)
        except (RuntimeError, AttributeError, ValueError, TypeError) as error:  # what it raises depends on the model
            raise ConfigError(
                f"encoder '{name}' cannot be built by timm {timm.__version__} ({first_line(error)}) – "
                "timm.list_models('*lite*') names what it has"
            ) from error
        found = dict(zip(self.encoder.feature_info.reduction(), self.encoder.feature_info.channels()))
        layout = getattr(self.encoder, "output_fmt", "NCHW")
        if tuple(found) not in (REDUCTIONS, REDUCTIONS[1:]) or getattr(layout, "value", layout) != "NCHW":
            raise ConfigError(
                f"encoder '{name}' has feature maps at 1/{', 1/'.join(map(str, found))} of the input, expected "
                "convolutional ones at 1/2 or 1/4 down to 1/32 – choose another, such as timm/mobilenetv3_small_100"
            )
        self.channels = tuple(found.get(reduction, 0) for reduction in REDUCTIONS)

    def forward(self, image: Tensor) -> list[Tensor | None]:
        features = self.encoder(image)
        return [None] * (len(REDUCTIONS) - len(features)) + features

    def start_from(self, source: str) -> None:
        """Take ImageNet weights: 'imagenet' (timm's cache, downloaded into it once), a file, a folder, or 'none'.

        Raises:
            CheckpointError: the weights cannot be had, or are of another network.
        """
        if source == "none":
            return
        choices = (
            f"pass a folder with {self.name}.safetensors and ResNet-18 in it, with --model.pretrained PATH, or train "
            "from scratch with --model.pretrained none"
        )
        overlay = None if source == "imagenet" else {"file": str(self._file(Path(source), choices))}
        try:
            taught = _library(self.name).create_model(
                self.name, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay
            )
        except Exception as error:  # no connection, no weights of this name, a file of another network
            raise CheckpointError(
                f"ImageNet weights of timm's {self.name} cannot be had from '{source}' ({first_line(error)}) – "
                f"{choices}"
            ) from error
        self.encoder.load_state_dict(taught.state_dict())

    def _file(self, path: Path, choices: str) -> Path:
        candidates = [path / f"{self.name}{suffix}" for suffix in SUFFIXES] if path.is_dir() else [path]
        found = next((file for file in candidates if file.is_file()), None)
        if found is None:
            raise CheckpointError(f"ImageNet weights '{candidates[0]}' do not exist – {choices}")
        return found


def _library(name: str) -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise BackendError(
            f"encoder '{name}' needs the timm library – install it with 'pip install timm', or take resnet18"
        ) from error
    return timm
