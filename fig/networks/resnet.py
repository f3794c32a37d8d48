"""ResNet18 (He et al., 2016)."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

STAGES = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}


class Subsampled(nn.Conv2d):
    """A strided 1 x 1 convolution that first drops the pixels it would skip: the same result.

    oneDNN's weight gradient of a strided one is wrong, and writes out of bounds, for channels-last images of fewer
    than 16 channels (oneDNN issue 6035).
    """

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, channels, height, width) -> (B, planes, height / stride, width / stride)."""
        rows, columns = self.stride
        return F.conv2d(images[..., ::rows, ::columns], self.weight, self.bias)


class ResNet18(ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's body; `small` images get a 3x3 stem of stride 1 without max-pooling."""

    def __init__(self, classes: int, width: float, small: bool) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=classes)
        self.inplanes = channels(64, width)
        kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(self.inplanes)
        if small:
            self.maxpool = nn.Identity()
        for name, planes in STAGES.items():
            stride = 1 if name == "layer1" else 2
            layer = self._make_layer(BasicBlock, channels(planes, width), 2, stride=stride)
            if layer[0].downsample:
                skipping = layer[0].downsample[0]
                kept = Subsampled(skipping.in_channels, skipping.out_channels, 1, skipping.stride, bias=False)
                layer[0].downsample[0] = kept
            setattr(self, name, layer)
        self.fc = nn.Linear(channels(512, width), classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def channels(full: int, width: float) -> int:
    """Channels of a layer that has `full` of them at width 1."""
    return max(1, round(full * width))


def resnet18(classes: int, width: float, small: bool) -> nn.Module:
    """ResNet18 for small (under 64 pixels a side) or large images."""
    return ResNet18(classes, width, small)
