"""Spectra of images: how much of their luminance varies at each spatial frequency."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601
HIGH = 0.25  # cycles a pixel, above which a frequency counts as high: half of the highest along an axis
BATCH = 1000  # images at once


@dataclass(frozen=True)
class Spectrum:
    """Radially averaged power of the luminance, averaged over images."""

    frequency: NDArray[np.float64]  # (n,), cycles a pixel, above 0 up to 0.5
    power: NDArray[np.float64]  # (n,): white noise of variance v has the power v at each of them

    @property
    def high(self) -> float:
        """Mean power at high frequencies."""
        return float(self.power[self.frequency > HIGH].mean())


def luminance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Luminance in [0, 1] of uint8 images: (N, size, size, 3) -> (N, size, size)."""
    weighted: NDArray[np.float64] = images @ (np.array(LUMINANCE) / 255)
    return weighted


def index_rings(size: int) -> NDArray[np.int64]:
    """The ring on which each frequency of a transform (size, size) lies: its radius in cycles an image, rounded."""
    along = np.fft.fftfreq(size, d=1 / size)
    across, down = np.meshgrid(along, along)
    radii: NDArray[np.int64] = np.rint(np.hypot(across, down)).astype(np.int64)
    return radii


def measure_spectrum(images: NDArray[np.uint8]) -> Spectrum:
    """The spectrum of images (N, size, size, 3), each less its mean.

    A Hann window takes the jump from each border to the opposite one out of the transform: it would pass for detail.
    """
    size = images.shape[1]
    side = np.sin(np.pi * np.arange(size) / size) ** 2  # Hann
    window = np.outer(side, side)
    total = np.zeros((size, size))
    for start in range(0, len(images), BATCH):
        grey = luminance(images[start : start + BATCH])
        grey -= grey.mean(axis=(1, 2), keepdims=True)
        total += (np.abs(np.fft.fft2(grey * window)) ** 2).sum(axis=0)
    ring = index_rings(size).ravel()
    power = np.bincount(ring, (total / (len(images) * (window**2).sum())).ravel()) / np.bincount(ring)
    radii = np.arange(1, size // 2 + 1)
    return Spectrum(radii / size, power[radii])


def measure_excess(images: Spectrum, reference: Spectrum) -> float:
    """How far images' high frequencies are from a reference's: the binary logarithm of the ratio of their mean powers.

    0 means as much, 1 twice as much, -1 half as much.
    """
    return float(np.log2(images.high / reference.high))
