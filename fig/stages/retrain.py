"""Rule retrain: a discriminator from random weights, by a method compared with FIG or by FIG itself."""

from fig.runtime.job import run_stage
from fig.settings import settings
from fig.stages.support.training import FromRandomWeights


@settings(kw_only=True)
class Retrain(FromRandomWeights):
    """Train a discriminator from random weights.

    Example: python -m fig.stages.retrain --train data/32/digits/train.npy --network resnet18
    --architecture '{"width": 0.125}' --augmentation.size 32 --training.epochs 10 --variant mixup --method mixup
    --output results/demo/discriminators/digits/resnet18/mixup/0 --checkpoints results/demo/checkpoints
    """


if __name__ == "__main__":
    run_stage(__spec__.name)
