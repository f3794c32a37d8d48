"""fig adopt: make a discriminator's folder of a checkpoint file, for the other commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Path as Exists

from fig.commands.options import Count, parse_json

Channels = tuple[float, float, float]
HALVES: Channels = (0.5, 0.5, 0.5)


def adopt(
    checkpoint: Annotated[
        Path,
        Parameter(validator=Exists(exists=True, dir_okay=False), help="The weights: safetensors, or a state dict."),
    ],
    /,
    *,
    factory: Annotated[str, Parameter(help="Function that makes the network, package.module:function.")],
    arguments: Annotated[str, Parameter(help="Arguments of the factory, as JSON.")] = "{}",
    classes: Annotated[Count, Parameter(help="Number of classes.")],
    size: Annotated[Count, Parameter(help="Pixels a side of the images as the network sees them.")],
    mean: Annotated[Channels, Parameter(help="Pixels in [0, 1] enter as (pixel - mean) / std.")] = HALVES,
    std: Annotated[Channels, Parameter(help="See mean.")] = HALVES,
    out: Annotated[Path, Parameter(help="Folder of the discriminator, to be written.")],
) -> None:
    """Make a discriminator's folder of a trained classifier: what fig patch, probe, sample and detect take.

    Example: fig adopt resnet.pt --factory timm:create_model --arguments '{"model_name": "resnet18", "num_classes": 10}'
    --classes 10 --size 32 --mean 0.49 0.48 0.45 --std 0.25 0.24 0.26 --out mine
    """
    import torch

    from fig.discriminator import Architecture, Card, save
    from fig.runtime.provenance import file_hash, provenance_key
    from fig.stages.support.adopting import adopt_weights

    stated = parse_json(arguments, "--arguments")
    name = str(stated.get("model_name", factory.rpartition(":")[2]))
    architecture = Architecture(name, classes, size, mean=mean, std=std, factory=factory, arguments=stated)
    discriminator = adopt_weights(architecture, checkpoint, 0, torch.zeros(2, 3, size, size, dtype=torch.uint8))
    out.mkdir(parents=True, exist_ok=True)
    key = provenance_key({"adopted": file_hash(checkpoint)})
    save(out, discriminator, Card(architecture, "own", "standard", 0, key))
    print(f"the discriminator is in {out}")
