"""fig register: discriminators as MLflow models."""

from fig.commands.options import Folder


def register(*discriminators: Folder) -> None:
    """Register evaluated discriminators as MLflow models, and print their addresses.

    A model takes images, whole numbers (N, size, size, 3) or image files in base64, and gives each one's class, class
    probabilities, OOD score and whether it is accepted as in-distribution. A model that is registered already is found
    again. docs/mlflow.md serves one.

    Example: fig register results/demo/discriminators/digits/resnet18/fig/*
    """
    from fig.runtime.tracking import register as register_one

    for folder in discriminators:
        print(register_one(folder.resolve()), flush=True)
