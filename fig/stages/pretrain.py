"""Rule pretrain: a standard discriminator from random weights."""

from fig.runtime.job import run_stage
from fig.settings import settings
from fig.stages.support.training import FromRandomWeights


@settings(kw_only=True)
class Pretrain(FromRandomWeights):
    """Train a standard discriminator.

    Example: python -m fig.stages.pretrain --train data/32/digits/train.npy --network resnet18
    --architecture '{"width": 0.125}' --augmentation.size 32 --training.epochs 10
    --output results/demo/discriminators/digits/resnet18/standard/0 --checkpoints results/demo/checkpoints
    """


if __name__ == "__main__":
    run_stage(__spec__.name)
