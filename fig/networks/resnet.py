"""ResNet18 (He et al., 2016)."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

STAGES = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}


class ResNet18(ResNet):
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
            setattr(self, name, self._make_layer(BasicBlock, channels(planes, width), 2, stride=stride))
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
