"""The networks that one chooses by name: a row for each; torch is not imported."""

from dataclasses import dataclass

from fig.settings import suggest


@dataclass(frozen=True)
class NetworkRow:
    """What is known of a network before its module is imported."""

    constructor: str  # module:function, below fig.networks: classes, width, small -> module
    title: str
    stages: tuple[str, ...]  # the submodules whose outputs the literature calls its features
    stem: tuple[str, ...] = ()  # the end of the stem, which Lee et al. take as features too
    stride: int = 4  # by which the stem divides the side of a large image
    megabytes: float = 45  # of its weights at full width, counted


NETWORKS = {
    "resnet18": NetworkRow("resnet:resnet18", "ResNet18", ("layer1", "layer2", "layer3", "layer4"), ("relu",)),
    "vgg19": NetworkRow(
        "vgg:vgg19",
        "VGG19",
        ("features.5", "features.12", "features.25", "features.38", "features.51"),  # each block before its pooling
        stride=1,
        megabytes=80,
    ),
    "shufflenetv2": NetworkRow(
        "shufflenet:shufflenetv2", "ShuffleNetV2", ("stage2", "stage3", "stage4", "conv5"), megabytes=5
    ),
    "densenet100": NetworkRow(
        "densenet:densenet100",
        "DenseNet100",
        ("features.transition1", "features.transition2", "features.norm5"),
        ("features.pool0",),
        megabytes=3,
    ),
    "airbench": NetworkRow("airbench:airbench", "Airbench", ("group1", "group2", "group3"), stride=1, megabytes=8),
}
UNKNOWN = NetworkRow("", "", ())  # what is assumed of a network from a factory


def module_of_network(name: str) -> str:
    """The module of a network; raises ValueError where no network has this name."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}{suggest(name, list(NETWORKS))}")
    return f"fig.networks.{NETWORKS[name].constructor.partition(':')[0]}"
