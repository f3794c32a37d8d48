"""fig export: a discriminator as an ONNX file and a PyTorch program, with score and verdict."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fig.commands.answers import Answer
from fig.commands.options import Acceptance, Folder, TrustFactory, is_trusted


def export(
    discriminator: Folder,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of model.onnx and model.pt2, to be written.")],
    id_acceptance: Acceptance | None = None,
    trust_factory: TrustFactory = False,
) -> Answer:
    """Export a discriminator as ONNX and as a torch.export program, and check both against PyTorch.

    They take uint8 images (N, 3, size, size), and give logits, confidence, OOD score (higher = more in-distribution)
    and whether each image is accepted as in-distribution. The threshold comes from `detector.json` in the folder or,
    without this file, from the evaluation's scores of the detector baseline, at an ID acceptance of 0.95.

    Example:
        fig export results/demo/discriminators/digits/resnet18/fig/0 --out exported

    """
    from fig.export import export_folder

    done = export_folder(discriminator, out, id_acceptance, is_trusted(discriminator, trust_factory))
    print(f"{done.onnx} and {done.program} answer as PyTorch does, to {done.difference:.0e} on random images.")
    return {"onnx": done.onnx, "program": done.program, "difference": done.difference}
