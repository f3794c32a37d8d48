"""DenseNet-BC of depth 100 and growth rate 12 (Huang et al., 2017), as in ODIN."""

from torch import nn
from torchvision.models.densenet import DenseNet


def densenet100(classes: int, width: float, small: bool) -> nn.Module:
    """Torchvision's body with three blocks of 16 layers; small images enter it at full resolution, unpooled."""
    growth = max(1, round(12 * width))
    network = DenseNet(growth, (16, 16, 16), num_init_features=2 * growth, bn_size=4, num_classes=classes)
    if small:
        network.features.conv0 = nn.Conv2d(3, 2 * growth, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.features.conv0.weight)
        for name in ("norm0", "relu0", "pool0"):  # belong to the stem of large images
            setattr(network.features, name, nn.Identity())
    found: nn.Module = network
    return found
