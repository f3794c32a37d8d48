"""Rule finetune: patch a standard discriminator, by FIG or by a method compared with it."""

from collections.abc import Iterator
from pathlib import Path

from fig.runtime.job import Input, Setting, run_stage
from fig.settings import Finetuning, settings
from fig.stages.support.training import Training


@settings(kw_only=True)
class Finetune(Training):
    """Fine-tune a standard discriminator.

    Example: python -m fig.stages.finetune --train data/32/digits/train.npy --variant fig --method fig
    --standard results/demo/discriminators/digits/resnet18/standard/0 --augmentation.size 32
    --output results/demo/discriminators/digits/resnet18/fig/0 --checkpoints results/demo/checkpoints
    """

    standard: Input[Path]
    """Folder of the discriminator to start from."""
    training: Setting[Finetuning] = Finetuning()
    """How the weights are trained."""

    def parents(self) -> Iterator[Path]:
        """The discriminator that it starts from."""
        yield self.standard


if __name__ == "__main__":
    run_stage(__spec__.name)
