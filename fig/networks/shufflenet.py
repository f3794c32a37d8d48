"""ShuffleNetV2 1.0x (Ma et al., 2018)."""

from torch import nn
from torchvision.models.shufflenetv2 import ShuffleNetV2

STAGES = (24, 116, 232, 464, 1024)


def shufflenetv2(classes: int, width: float, small: bool) -> nn.Module:
    """Torchvision's body; small images enter it at full resolution and are not max-pooled."""
    stages = [2 * max(1, round(size * width / 2)) for size in STAGES]  # even: each unit splits its channels in two
    network = ShuffleNetV2([4, 8, 4], stages, num_classes=classes)
    if small:
        network.conv1[0] = nn.Conv2d(3, stages[0], 3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    found: nn.Module = network
    return found
