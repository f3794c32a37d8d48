"""fig adopt: make a discriminator's folder from a checkpoint file, for the other commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Path as Exists

from fig.commands.answers import Answer
from fig.commands.options import Count, parse_json

Channels = tuple[float, float, float]
HALVES: Channels = (0.5, 0.5, 0.5)


def adopt(
    checkpoint: Annotated[
        Path | None,
        Parameter(
            validator=Exists(exists=True, dir_okay=False),
            help="The weights, as safetensors or a state dict; by default those that the factory gives.",
        ),
    ] = None,
    /,
    *,
    factory: Annotated[
        str, Parameter(help="Function that makes the network, package.module:function or package.module:Class.method.")
    ],
    arguments: Annotated[str, Parameter(help="Arguments of the factory, as JSON.")] = "{}",
    classes: Annotated[Count, Parameter(help="Number of classes.")],
    size: Annotated[Count, Parameter(help="Pixels a side of the images as the network sees them.")],
    mean: Annotated[Channels, Parameter(help="Pixels in [0, 1] enter as (pixel - mean) / std.", negative=())] = HALVES,
    std: Annotated[Channels, Parameter(help="See mean.", negative=())] = HALVES,
    out: Annotated[Path, Parameter(help="Folder of the discriminator, to be written.")],
) -> Answer:
    r"""Make a discriminator's folder from a trained classifier, for the other commands.

    The folder names the factory, which makes the network again whenever it is loaded.

    Example:
        fig adopt resnet.pt --factory timm:create_model \
          --arguments '{"model_name": "resnet18", "num_classes": 10}' \
          --classes 10 --size 32 --mean 0.49 0.48 0.45 --std 0.25 0.24 0.26 \
          --out mine

        fig adopt \
          --factory transformers:AutoModelForImageClassification.from_pretrained \
          --arguments '{"pretrained_model_name_or_path": "microsoft/resnet-18"}' \
          --classes 1000 --size 224 --mean 0.485 0.456 0.406 \
          --std 0.229 0.224 0.225 --out resnet

    """
    import torch

    from fig.checkpoint import key_of
    from fig.discriminator import Architecture, Card, save
    from fig.runtime.provenance import provenance_key
    from fig.stages.support.adopting import adopt_weights

    stated = parse_json(arguments, "--arguments")
    name = str(stated.get("model_name", factory.rpartition(":")[2]))
    architecture = Architecture(name, classes, size, mean=mean, std=std, factory=factory, arguments=stated)
    discriminator = adopt_weights(architecture, checkpoint, 0, torch.zeros(2, 3, size, size, dtype=torch.uint8))
    out.mkdir(parents=True, exist_ok=True)
    key = provenance_key({"adopted": key_of(discriminator.network, {})})
    save(out, discriminator, Card(architecture, "own", "standard", 0, key))
    print(f"The discriminator is in {out}.")
    return {"discriminator": out}
