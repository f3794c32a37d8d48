"""Networks of timm, torchvision and transformers are sampled, folded, fine-tuned and judged, or it is said why not.

Weights are random, and networks are as small as their libraries make them. What is expected of each stands in a table.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import torchvision.models as vision
import transformers
from torch import nn
from torchvision.models.convnext import CNBlockConfig

from fig.data.arrays import Split
from fig.detectors.table import build_detector
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import fit_detectors, looked_at, score_split, scores
from fig.folding import fold_network, pairs
from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK
from fig.methods.table import build_method
from fig.networks.outputs import as_logits
from fig.networks.taps import stages
from fig.sampler import sample
from fig.settings import SamplerSettings, TrainingSettings
from fig.training import players_of, update

pytestmark = pytest.mark.slow
SHORT = SamplerSettings(min_steps=2, max_steps=2)


def of_transformers(kind: str, size: int, **settings: object) -> nn.Module:
    """An image classifier of transformers, from a configuration of its own."""
    config = getattr(transformers, f"{kind}Config")(num_labels=2, **settings)
    return as_logits(getattr(transformers, f"{kind}ForImageClassification")(config), torch.zeros(1, 3, size, size))


def googlenet() -> nn.Module:
    """torchvision's GoogLeNet, which gives a tuple in training."""
    return as_logits(vision.googlenet(num_classes=2, init_weights=False), torch.zeros(1, 3, 64, 64))


def convnext() -> nn.Module:
    """torchvision's ConvNeXt of two stages."""
    return vision.ConvNeXt([CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)], num_classes=2)


@dataclass(frozen=True)
class Case:
    """An architecture, and what is expected of it."""

    stages: str
    factory: str
    size: int = 32
    folds: int = 0  # norms
    refused: dict[str, str] = field(default_factory=dict)  # by detector: the reason
    arguments: dict = field(default_factory=dict)


def of(stages: str, name: str, size: int = 32, folds: int = 0, refused: dict | None = None, **own: object) -> Case:
    """A network of timm, torchvision or transformers, by its name there, with arguments of its own."""
    library, _, name = name.partition(" ")
    factory, arguments = {
        "timm": ("timm:create_model", {"model_name": name, "num_classes": 2}),
        "torchvision": (f"torchvision.models:{name}", {"num_classes": 2}),
        "transformers": (f"{__name__}:of_transformers", {"kind": name, "size": size}),
        "own": (f"{__name__}:{name}", {}),
    }[library]
    return Case(stages, factory, size, folds, refused or {}, arguments | own)


NO_MAPS = {"gram": "it has no convolution beyond the first, so that there are no feature maps to compare"}
TWO_HEADS = {
    "vim": "pytorch_ood.detector.ViM needs a last linear layer that gives the logits: this network has another"
}
NO_LINEAR = dict.fromkeys(("knn", "vim"), "the network has no linear layer, so its penultimate features do not exist")

SWIN = "swin_tiny_patch4_window7_224"
WINDOWS = {"embed_dim": 24, "window_size": 4, "depths": (1, 1), "num_heads": (2, 4)}
LARGE = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 4)}
VIT = {"image_size": 32, "patch_size": 8}
BLOCKS = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
SHIFTED = {"patch_size": [4, 4], "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
MERGED = {"image_size": 32, "patch_size": 2, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
BASIC = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
DEPTHWISE = {"hidden_sizes": [8, 16, 32, 32], "depths": [1, 1, 1, 1]}

CASES = {
    "timm resnet": of("act1 layer1 layer2 layer3 layer4", "timm test_resnet", folds=15),
    "timm convnext": of("stages.0 stages.1 stages.2 stages", "timm test_convnext"),
    "timm efficientnet": of("blocks.0 blocks.1 blocks.2 blocks.3 bn2", "timm test_efficientnet", folds=13),
    "timm mobilenetv3": of("bn1 blocks.0 blocks.1 blocks.3 act2", "timm mobilenetv3_small_050", folds=34),
    "timm regnet": of("stem s1 s2 s3 s4", "timm regnetx_002", folds=44),
    "timm nfnet": of("stem.act4 stages.0 stages.1 stages.2 final_act", "timm test_nfnet"),
    "timm densenet": of(
        "features.norm0 features.denseblock1 features.denseblock2 features.denseblock3 features",
        "timm densenet121",
        folds=9,
        growth_rate=4,
        block_config=(2, 2, 2, 2),
    ),
    "timm vit": of("patch_embed norm", "timm test_vit", refused=NO_MAPS, img_size=32, patch_size=8),
    "timm vit, 224": of("patch_embed norm", "timm test_vit", 224, refused=NO_MAPS, img_size=224),
    "timm deit, distilled": of(
        "patch_embed norm",
        "timm deit_tiny_distilled_patch16_224",
        refused=NO_MAPS | TWO_HEADS,
        img_size=32,
        embed_dim=24,
        depth=1,
    ),
    "timm swin": of("patch_embed norm", f"timm {SWIN}", refused=NO_MAPS, img_size=32, **WINDOWS),
    "timm swin, 224": of("layers.0 layers.1 layers.2 norm", f"timm {SWIN}", 224, refused=NO_MAPS, **LARGE),
    "torchvision resnet": of("relu layer1 layer2 layer3 layer4", "torchvision resnet18", folds=20),
    "torchvision convnext": of("features.1 features", "own convnext"),
    "torchvision efficientnet": of(
        "features.1 features.2 features.3 features.5 features",
        "torchvision efficientnet_b0",
        64,
        folds=49,
        stochastic_depth_prob=0.0,
    ),
    "torchvision mobilenetv3": of(
        "features.0 features.1 features.3 features.8 features", "torchvision mobilenet_v3_small", folds=34
    ),
    "torchvision regnet": of(
        "stem trunk_output.block1 trunk_output.block2 trunk_output.block3 trunk_output",
        "torchvision regnet_y_400mf",
        folds=53,
    ),
    "torchvision squeezenet": of(
        "features.1 features.4 features.7 features", "torchvision squeezenet1_1", 64, refused=NO_LINEAR
    ),
    "torchvision vit": of("conv_proj encoder", "torchvision VisionTransformer", refused=NO_MAPS, **VIT, **BLOCKS),
    "torchvision swin": of("features.1 norm", "torchvision SwinTransformer", refused=NO_MAPS, **SHIFTED),
    "torchvision googlenet": of(
        "model.conv1 model.conv3 model.inception3b model.inception4e model.inception5b", "own googlenet", 64, folds=57
    ),
    "transformers vit": of(
        "model.vit.embeddings.patch_embeddings model.vit", "transformers ViT", refused=NO_MAPS, **VIT, **LAYERS
    ),
    "transformers swin": of("model.swin.embeddings model.swin", "transformers Swin", refused=NO_MAPS, **MERGED),
    "transformers resnet": of(
        "model.resnet.embedder.embedder model.resnet.encoder.stages.0 model.resnet.encoder.stages.1 "
        "model.resnet.encoder.stages.2 model.resnet",
        "transformers ResNet",
        folds=12,
        **BASIC,
    ),
    "transformers convnext": of(
        "model.convnext.encoder.stages.0 model.convnext.encoder.stages.1 model.convnext.encoder.stages.2 "
        "model.convnext",
        "transformers ConvNext",
        64,
        **DEPTHWISE,
    ),
}

DETECTOR_SETTINGS = {
    "baseline": {},
    "odin": {"temperatures": [1000], "magnitudes": [0, 0.002]},
    "mahalanobis": {"magnitudes": [0, 0.01]},
    "residual_flow": {"magnitudes": [0.01], "epochs": 2, "couplings": 2, "hidden": 0.1},
    "gram": {"orders": [1, 3]},
    "deconf": {"magnitudes": [0, 0.01]},
    "energy": {"detector": "pytorch_ood.detector.EnergyBased"},
    "knn": {"detector": "pytorch_ood.detector.KNN", "arguments": {"k": 3}},
    "vim": {"detector": "pytorch_ood.detector.ViM", "arguments": {"d": 4}},
}
NO_COSINES = {"deconf": "it has no cosine head, which discriminators trained by the method deconf have"}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def made(case: Case, head: str = "linear") -> Discriminator:
    """A discriminator whose running statistics are those of its images, and whose logits are small."""
    found = Discriminator(Architecture("mine", 2, case.size, factory=case.factory, arguments=case.arguments, head=head))
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        for images in images_of(case, 16).split(8):
            found.network.train()(images)
        for linear in [module for module in found.modules() if isinstance(module, nn.Linear)][-1:]:
            linear.weight *= 0.01  # those of deep networks of random weights may be of any size
    return found


def images_of(case: Case, count: int) -> torch.Tensor:
    return 2 * torch.rand(count, 3, case.size, case.size, generator=torch.Generator().manual_seed(0)) - 1


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def test_sampling_leaves_a_network_as_it_was_and_folding_gives_its_logits(case: Case):
    network = made(case).network
    before, images = state_of(network), images_of(case, 2)
    for precision in ("float32", "bfloat16"):
        samples = sample(
            network, 2, (3, case.size, case.size), replace(SHORT, precision=precision), torch.Generator().manual_seed(0)
        )
        assert samples.images.abs().max() <= 1 and samples.energy.isfinite().all()
    assert same(state_of(network), before) and network.training
    with frozen(network), torch.no_grad():
        plain = network(images)
        with fold_network(network, images[:1]):
            torch.testing.assert_close(network(images), plain, rtol=1e-3, atol=1e-4)
        assert len(pairs(network, images[:1])) == case.folds
        assert network(images).equal(plain)
    assert " ".join(stages(network, images)) == case.stages


def test_a_step_of_fig_moves_the_weights_that_need_gradients_and_no_others(case: Case):
    discriminator = made(case)
    fixed = next(discriminator.network.parameters()).requires_grad_(False)
    before, kept = state_of(discriminator.network), fixed.clone()
    method = build_method("fig", {"sampler": {"min_steps": 1, "max_steps": 1}})
    players = players_of(discriminator, method, TrainingSettings(0.1, iterations=1, batch_size=4), 0)
    images = images_of(case, 4)
    batch = Batch(images.contiguous(memory_format=torch.channels_last), torch.arange(4) % 2, *discriminator.range)
    row = update(players, method, batch, torch.Generator().manual_seed(0))
    assert np.isfinite(row["loss"]) and fixed.equal(kept) and not fixed.requires_grad
    assert players[NETWORK].module is discriminator.network and discriminator.network.training
    moved = state_of(discriminator.network)
    assert not same(moved, before) and all(value.isfinite().all() for value in moved.values())


def test_every_detector_scores_its_images_or_says_why_not(case: Case, stripes: Split):
    discriminator, times = made(case), case.size // 16
    data = replace(stripes, images=np.asarray(stripes.images).repeat(times, 1).repeat(times, 2))
    detectors = {name: build_detector(name, stated) for name, stated in DETECTOR_SETTINGS.items()}
    with frozen(discriminator):
        refused = {}
        for name, detector in detectors.items():
            try:
                looked_at({name: detector}, discriminator)
            except ValueError as error:
                refused[name] = str(error)
        able = {name: detector for name, detector in detectors.items() if name not in refused}
        grids = score_split(able, fit_detectors(able, discriminator, data, seed=0), discriminator, data).grids
    assert all(np.isfinite(grid).all() for grid in grids.values())
    sentences = {
        name: f"detector {name} cannot judge the network mine: {reason}"
        for name, reason in (NO_COSINES | case.refused).items()
    }
    assert refused.keys() == sentences.keys() and all(refused[name].startswith(sentences[name]) for name in sentences)


@pytest.mark.parametrize("name", ["timm swin", "transformers vit", "torchvision efficientnet"])
def test_the_decomposed_head_takes_the_place_of_the_layer_that_gives_the_logits(name: str, stripes: Split):
    case = CASES[name]
    discriminator = made(case, head="deconf")
    data = replace(stripes, images=np.asarray(stripes.images).repeat(case.size // 16, 1).repeat(case.size // 16, 2))
    assert np.isfinite(scores(build_detector("deconf", DETECTOR_SETTINGS["deconf"]), discriminator, data)).all()
    with pytest.raises(ValueError, match="this network has another head"):
        looked_at({"vim": build_detector("vim", DETECTOR_SETTINGS["vim"])}, discriminator)
