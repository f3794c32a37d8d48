"""Rule transfer: FIG whose sampler follows a second discriminator, the fixed teacher (Section 4.6)."""

from collections.abc import Iterator
from pathlib import Path

from fig.runtime.job import Input, Setting, run_stage
from fig.settings import Finetuning, settings
from fig.stages.support.training import Training


@settings(kw_only=True)
class Transfer(Training):
    """Fine-tune a standard discriminator on the low-entropy samples of a fixed teacher.

    Example: python -m fig.stages.transfer --train data/32/digits/train.npy --variant fig-teacher-vgg19 --method fig
    --standard results/demo/discriminators/digits/resnet18/standard/0 --augmentation.size 32
    --teacher results/demo/discriminators/digits/vgg19/standard/0
    --output results/demo/discriminators/digits/resnet18/fig-teacher-vgg19/0 --checkpoints results/demo/checkpoints
    """

    standard: Input[Path]
    """Folder of the discriminator to start from."""
    teacher: Input[Path]
    """Folder of the discriminator that the sampler follows."""
    training: Setting[Finetuning] = Finetuning()
    """How the weights are trained."""

    def parents(self) -> Iterator[Path]:
        """The discriminator that it starts from, and the teacher."""
        yield from (self.standard, self.teacher)


if __name__ == "__main__":
    run_stage(__spec__.name)
