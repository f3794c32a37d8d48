"""VGG19 with batch norm (Simonyan and Zisserman, 2015)."""

from torch import nn
from torchvision.models.vgg import VGG, cfgs, make_layers


def vgg19(classes: int, width: float, small: bool) -> nn.Module:
    """Torchvision's body; for small images the head is one linear layer on the 1x1 features, as is usual there."""
    layers = [size if size == "M" else max(1, round(size * width)) for size in cfgs["E"]]
    network = VGG(make_layers(layers, batch_norm=True), num_classes=classes, init_weights=False)
    pooled = 1 if small else 7
    network.avgpool = nn.AdaptiveAvgPool2d(pooled)
    features = layers[-2] * pooled**2
    if small:
        network.classifier = nn.Linear(features, classes)
    else:
        network.classifier[0] = nn.Linear(features, network.classifier[0].out_features)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    found: nn.Module = network
    return found
