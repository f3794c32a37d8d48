"""Compare three OOD detectors before and after FIG: digits against windows of photographs.

python examples/compare_detectors.py [--out FOLDER]

Needs the extra `models` and Matplotlib, which `pipeline` brings.
"""

# %% Images in memory: uint8 (N, 28, 28), every fifth digit kept for tests
from argparse import ArgumentParser
from pathlib import Path

import matplotlib
import numpy as np
import timm
import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch.nn import functional as F

import fig
from fig.data.packaged import digits, windows
from fig.metrics import auroc

matplotlib.use("Agg")
parser = ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("detectors"), help="folder for the picture")
out = parser.parse_known_args()[0].out  # a notebook has arguments of its own
out.mkdir(parents=True, exist_ok=True)


def grey(pictures: list[np.ndarray]) -> np.ndarray:
    """Return pictures as one array of grey images (N, 28, 28)."""
    return np.stack([np.asarray(Image.fromarray(picture).convert("L").resize((28, 28))) for picture in pictures])


pixels, classes = digits()
everything, every_label = grey(list(pixels)), np.array(classes)
tested = np.arange(len(every_label)) % 5 == 0
images, labels = everything[~tested], every_label[~tested]
test, photographs = everything[tested], grey(windows())

# %% A classifier, and the same patched
torch.manual_seed(0)
model = timm.create_model("test_resnet", num_classes=10, in_chans=1)
optimizer = torch.optim.Adam(model.parameters(), 0.002)
inputs, targets = torch.from_numpy(images)[:, None] / 127.5 - 1, torch.from_numpy(labels)
for _ in range(6):
    for rows in torch.randperm(len(inputs)).split(64):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
model.eval()
training = fig.Finetuning(iterations=200, batch_size=64, learning_rate=0.003)
networks = {"before": model, "after": fig.patch(model, images, labels, training=training, progress=False).model}
for name, network in networks.items():
    confidence = fig.probe(network, (1, 28, 28), 64, progress=False).confidence
    print(f"{name}: confidence {confidence:.2f} on own samples")

# %% Fit each detector to the training images, and score test digits and photographs; FIG saw neither
detectors = {"energy": {}, "mahalanobis": {"magnitudes": [0]}, "gram": {"orders": [1, 2]}}
found = {}
for detector, settings in detectors.items():
    for name, network in networks.items():
        judge = fig.detect(network, images, labels, detector, settings, calibration=test, progress=False)
        scores = judge.score(photographs)
        found[detector, name] = auroc(judge.id_scores, scores)
        accepted = (scores >= judge.threshold).mean()
        print(f"{detector:12} {name:6}  AUROC {found[detector, name]:.3f}  photographs accepted {accepted:4.0%}")

# %% Draw the AUROCs
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
places = np.arange(len(detectors))
for shift, name in enumerate(networks):
    bars = axes.bar(places + 0.4 * shift - 0.2, [found[detector, name] for detector in detectors], 0.38, label=name)
    axes.bar_label(bars, fmt="%.3f", fontsize=8)
axes.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
axes.set(ylabel="AUROC, digits against photographs", ylim=(0, 1.1), xticks=places, xticklabels=list(detectors))
axes.legend(title="FIG", loc="lower left", bbox_to_anchor=(1, 0))
figure.savefig(out / "auroc.png")
print(f"picture: {out / 'auroc.png'}")
