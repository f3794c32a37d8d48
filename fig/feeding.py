"""Turn your images, from loaders, tensors, arrays or splits, into batches in [-1, 1] on a device."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fig.data.arrays import Split
from fig.data.augment import augment
from fig.data.batches import images_at, labels_of
from fig.scaling import Scaling, unscale
from fig.seeding import generator
from fig.settings import Augmentation
from fig.training import order_of

Array = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int64]
Pixels = Tensor | Array  # see `Feed`
Images = Pixels | Split | Iterable[object]
Labels = Tensor | Array | Sequence[int]

OUTSIDE = 0.01  # share of a batch's values that may lie outside the range of pixels
IMAGE_KEYS = ("image", "images", "pixel_values", "img", "x")
LABEL_KEYS = ("label", "labels", "target", "y")


@dataclass(frozen=True)
class Feed:
    """Where batches come from.

    `images` may be uint8, a tensor (N, channels, h, w) or an array (N, h, w[, channels]), or floats (N, channels, h, w)
    scaled as the network takes them; a `Split`; or an iterable of batches of these, each alone, in a pair with its
    labels or in a mapping under their usual names: any `DataLoader`.
    """

    images: Images
    labels: Labels | None
    scaling: Scaling
    device: torch.device

    @property
    def in_memory(self) -> bool:
        """Whether all images are in memory, so that batches can take them in any order."""
        return isinstance(self.images, Split | Tensor | np.ndarray)

    def __len__(self) -> int:
        """Number of images in memory, otherwise of batches; 0 for an iterable without a length."""
        images = self.images.images if isinstance(self.images, Split) else self.images
        return len(images) if isinstance(images, Sized) else 0

    def all_labels(self) -> Tensor | None:
        """Labels (N,) of images in memory, if they have any; raises ValueError if the numbers differ."""
        stated = self.labels
        if stated is None and isinstance(self.images, Split) and self.images.description.labels:
            return labels_of(self.images)
        labels = None if stated is None else torch.as_tensor(np.asarray(stated)).long()
        if labels is not None and labels.shape != (len(self),):
            raise ValueError(f"there are {len(self)} images, but labels of shape {tuple(labels.shape)}")
        return labels

    def at(self, rows: Tensor) -> Pixels:
        """Return the images in memory at these rows (b,)."""
        if isinstance(self.images, Split):
            return images_at(self.images, rows)
        if isinstance(self.images, np.ndarray):
            chosen: Pixels = self.images[rows.numpy()]
            return chosen
        if isinstance(self.images, Tensor):
            return self.images[rows.to(self.images.device)]
        raise ValueError("images of a loader come in its own order")

    def once(self, batch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield all images in order, in batches in [-1, 1] (b, channels, h, w), with labels (b,) if there are any."""
        if isinstance(self.images, Split | Tensor | np.ndarray):
            labels = self.all_labels()
            for rows in torch.arange(len(self)).split(batch):
                yield self.convert(self.at(rows)), None if labels is None else labels[rows].to(self.device)
            return
        for item in self.images:
            pixels, found = parts_of(item)
            labels = None if found is None else torch.as_tensor(found).long().to(self.device)
            yield self.convert(pixels), labels

    def epoch(
        self, number: int, batch: int, seed: int, augmentation: Augmentation | None, skip: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the labelled batches of an epoch, without the first `skip`; raises ValueError if there are no labels.

        The seed determines the order of images in memory, and `augmentation` crops and mirrors them if they are uint8.
        A loader is iterated again in each epoch, and its images are used as they are.
        """
        if not self.in_memory:
            yield from map(require_labels, islice(self.once(batch), skip, None))
            return
        if (labels := self.all_labels()) is None:
            raise ValueError(UNLABELLED)
        for place, rows in list(enumerate(order_of(len(self), number, seed).split(batch)))[skip:]:
            pixels = channels_first(self.at(rows))
            if augmentation and pixels.dtype == torch.uint8:
                pixels = augment(pixels, augmentation, generator(seed, f"augment {number}", place))
            yield self.convert(pixels), labels[rows].to(self.device)

    def convert(self, pixels: Pixels) -> Tensor:
        """Convert images of any form to [-1, 1] (b, channels, h, w), on the device."""
        images = channels_first(pixels).to(self.device)
        if images.dtype == torch.uint8:
            found = images.float() / 127.5 - 1
        elif images.is_floating_point():
            found = unscale(images.float(), self.scaling)
            check_range(images, found)
        else:
            raise ValueError(f"images are of {images.dtype}: they must be uint8, or floats scaled as the network wants")
        return found.contiguous(memory_format=torch.channels_last)


UNLABELLED = "there are no labels: give (images, labels) in each batch, or labels=… with images in memory"


def require_labels(pair: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
    """Return a batch with its labels; raises ValueError if it has no labels."""
    images, labels = pair
    if labels is None:
        raise ValueError(UNLABELLED)
    return images, labels


def parts_of(item: object) -> tuple[Pixels, Labels | None]:
    """Return images and labels, if any, from a loader's item; raises ValueError if it holds no images."""
    found: Sequence[object]
    if isinstance(item, Mapping):
        found = [next((item[key] for key in keys if key in item), None) for keys in (IMAGE_KEYS, LABEL_KEYS)]
    else:
        found = item if isinstance(item, tuple | list) else (item,)
    images, labels = (*found, None)[:2] if found else (None, None)
    if not isinstance(images, Tensor | np.ndarray):
        named = f" with the keys {', '.join(map(str, item))}" if isinstance(item, Mapping) else ""
        raise ValueError(f"the loader gives {type(item).__name__}{named}, not images or (images, labels)")
    return images, labels


def channels_first(pixels: Pixels) -> Tensor:
    """Return pixels as a tensor (B, channels, h, w); arrays of uint8 have their channels last, or no channel axis."""
    if isinstance(pixels, Tensor):
        images = pixels
    elif pixels.dtype == np.uint8 and pixels.ndim in (3, 4):
        images = torch.from_numpy(pixels if pixels.ndim == 4 else pixels[..., None]).permute(0, 3, 1, 2)
    else:
        images = torch.from_numpy(pixels)
    if images.ndim != 4:
        raise ValueError(f"images are {images.dtype} {tuple(images.shape)}: a batch has four dimensions")
    return images


def check_range(given: Tensor, images: Tensor) -> None:
    """Raise ValueError if images, taken to [-1, 1] by the stated scaling, show that the scaling is not theirs."""
    outside = (images.abs() > 1 + 1e-3).float().mean()
    low, high = given.aminmax()
    where = f"images lie in [{low:.2f}, {high:.2f}]"
    if not outside <= OUTSIDE:
        raise ValueError(f"{where}, which is not what their scaling gives: state it as scaling=(mean, std)")
    if low >= 0 and high <= 1 and images.amin() >= -1e-3:
        raise ValueError(f"{where}, without a dark pixel: if they are in [0, 1], say so by scaling=(0.0, 1.0)")
