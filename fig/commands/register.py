"""fig register: discriminators as MLflow models."""

from fig.commands.answers import Answer
from fig.commands.options import Folder, TrustFactory, check_folders, is_trusted


def register(*discriminators: Folder, trust_factory: TrustFactory = False) -> Answer:
    """Register evaluated discriminators as MLflow models, and print their addresses.

    A model takes images, uint8 (N, size, size, 3) or PNG and JPEG as base64, and gives classes, their probabilities, an
    OOD score and whether it accepts each image as in-distribution.
    A model is registered once. docs/mlflow.md shows how to serve one.

    Example:
        fig register results/demo/discriminators/digits/resnet18/fig/*

    """
    from fig.discriminator import check_no_factory, load_card
    from fig.runtime.tracking import register as register_one

    check_folders(discriminators, "register")
    addresses = []
    for folder in discriminators:
        if not is_trusted(folder, trust_factory):
            check_no_factory(folder, load_card(folder))
        addresses.append(register_one(folder.resolve()))
        print(addresses[-1], flush=True)
    return {"models": addresses}
