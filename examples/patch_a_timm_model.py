"""Patch a timm network on images in class folders, and show what it was confidently wrong about.

python examples/patch_a_timm_model.py [--images FOLDER] [--out FOLDER]

Needs the extra `models` and Matplotlib, which `pipeline` brings.
"""

# %% Where things are: without --images, handwritten digits are written as grey PNG files of 28 x 28 pixels
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
from fig.data.packaged import digits

matplotlib.use("Agg")
parser = ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--images", type=Path, help="folder of <class>/<image>")
parser.add_argument("--out", type=Path, default=Path("patched"), help="folder for weights and pictures")
options = parser.parse_known_args()[0]  # a notebook has arguments of its own
out = options.out
out.mkdir(parents=True, exist_ok=True)
folder = options.images or out / "digits"
if not options.images:
    for number, (pixels, label) in enumerate(zip(*digits(), strict=True)):
        (folder / f"digit{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((28, 28)).save(folder / f"digit{label}" / f"{number}.png")

# %% Read the folder, and keep every fifth image for tests
split = fig.read_images(folder, 28)
tested = np.arange(len(split.labels)) % 5 == 0
images, labels = split.images[~tested], split.labels[~tested]  # uint8 (N, 28, 28, 3), int64 (N,)
test_images, test_labels = split.images[tested], split.labels[tested]


def scaled(images: np.ndarray) -> torch.Tensor:
    """Return images as the network takes them: (N, 3, 28, 28) in [-1, 1], which is fig's default scaling."""
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1


# %% Your classifier: here one of timm, trained for a few seconds
torch.manual_seed(0)
model = timm.create_model("test_resnet", num_classes=len(split.description.classes))
optimizer = torch.optim.Adam(model.parameters(), 0.002)
for _ in range(6):
    for rows in torch.randperm(len(images)).split(64):
        optimizer.zero_grad()
        F.cross_entropy(model(scaled(images[rows.numpy()])), torch.from_numpy(labels[rows.numpy()])).backward()
        optimizer.step()
model.eval()

# %% Patch it: a copy is fine-tuned, the model stays as it is
training = fig.Finetuning(iterations=200, batch_size=64, learning_rate=0.003)
patched = fig.patch(model, images, labels, training=training, progress=False).model
torch.save(patched.state_dict(), out / "patched.pt")

# %% Compare both: confidence on their own low-entropy samples, accuracy on test images
names = {"before": model, "after": patched}
shape = (3, 28, 28)
for name, network in names.items():
    with torch.no_grad():
        accuracy = (network(scaled(test_images)).argmax(dim=1).numpy() == test_labels).mean()
    confidence = fig.probe(network, shape, 64, progress=False).confidence
    print(f"{name}: confidence {confidence:.2f} on own samples, accuracy {accuracy:.3f}")

# %% Look at the samples, above each the class that the network takes it for and how sure it is
figure, grid = plt.subplots(2, 8, figsize=(12, 3.6), layout="constrained")
for row, (name, network) in zip(grid, names.items(), strict=True):
    samples = fig.sample(network, shape, len(row), progress=False)
    pictures = (samples.images.permute(0, 2, 3, 1) + 1) / 2
    for axes, picture, confidence, number in zip(row, pictures, samples.confidence, samples.predicted, strict=True):
        axes.imshow(picture.numpy())
        axes.set_title(f"{split.description.classes[number]}, {confidence:.0%}", fontsize=8)
        axes.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
figure.savefig(out / "samples.png")
print(f"picture: {out / 'samples.png'}")
