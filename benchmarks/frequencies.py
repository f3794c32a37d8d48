"""What fine-tuning changes at which spatial frequency, measured on the discriminators of one place and seed of a study.

Where chains lead from their starts, what smoothing OOD images leaves of a gain, how sure networks are of ID images with
noise of one band, and how far features moved. The folder holds the variants of an ID data set and network.

Example: python benchmarks/frequencies.py results/cifar10/discriminators/cifar10-jpeg/resnet18 --variants fig gaussian
    --id-images data/32/cifar10-jpeg/test.npy --ood-images data/32/tinyimagenet-jpeg-r-nearest/test.npy
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
import torch
from cyclopts import Parameter
from matplotlib.axes import Axes
from ratios import Count, Device, print_machine, print_table
from torch import Tensor, nn

from fig.data.arrays import open_split
from fig.data.batches import images_on
from fig.detectors.library import penultimate
from fig.discriminator import Discriminator, load, load_card
from fig.energy import confidence
from fig.evaluation import some
from fig.langevin import start_chains
from fig.lenses import smooth, square_frequencies
from fig.methods.table import FigSettings
from fig.metrics import auroc
from fig.networks.taps import kept_at
from fig.report.plots import COLOURS, LINES, hide_frames, make_panels, make_strips
from fig.report.spectra import Spectrum, measure_excess, measure_spectrum
from fig.sampler import sample
from fig.seeding import generator
from fig.settings import read_settings
from fig.starts import draw_like, draw_starts

STANDARD = "standard"
CUTOFFS = (0.5, 0.35, 0.25, 0.18, 0.125)  # cycles a pixel, where a smoothed image's amplitude is half of what it was
BANDS = ((0, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1))  # cycles a pixel
SMOOTHED = ["as it is", *(f"{cutoff:g}" for cutoff in CUTOFFS)]
NOISED = ["no noise", "≤ 1/16", "1/16 to 1/8", "1/8 to 1/4", "> 1/4"]  # BANDS
CHAINS = ["variant", "confidence at the start, %", "at the end, %", "moved by", "excess at the start", "at the end"]
STRENGTH = 0.2  # of a band's noise: root mean square, in the input space [-1, 1]
SHOWN = 8  # images of a strip
BATCH = 250
Named = Mapping[str, Tensor]  # images (N, channels, size, size) in [-1, 1] by the name of their set


@dataclass(frozen=True)
class Drawn:
    """What a variant adds to its first batch: where its chains start, and where they end on the standard network."""

    starts: Tensor  # (n, channels, size, size) in [-1, 1], as the network sees them
    ends: Tensor  # the same


def draw_band(like: Tensor, low: float, high: float, noise: torch.Generator) -> Tensor:
    """Draw noise like the images with frequencies in (low, high] alone, and the root mean square STRENGTH."""
    frequencies = square_frequencies(*like.shape[-2:], like.device).sqrt()
    white, kept = draw_like(torch.randn, like.shape, like, noise), (frequencies > low) & (frequencies <= high)
    band = torch.fft.ifft2(torch.fft.fft2(white) * kept).real
    return band * STRENGTH / band.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Return the linear centred kernel alignment of features (N, D) and (N, E): in [0, 1] (Kornblith et al., 2019)."""
    first, second = (each.double() - each.double().mean(dim=0) for each in (first, second))
    shared, *own = ((a.T @ b).norm() for a, b in ((first, second), (first, first), (second, second)))
    return float(shared.square() / own[0] / own[1])


def measure_confidence(network: nn.Module, images: Tensor) -> Tensor:
    """Return the largest class probability of each image: (N,)."""
    with torch.no_grad():
        return torch.cat([confidence(network(part)).cpu() for part in images.split(BATCH)])


def measure_features(network: nn.Module, images: Tensor) -> Tensor:
    """Return the inputs of the last linear layer: (N, D)."""
    tap = penultimate(network, images[:1])
    with torch.no_grad():
        return torch.cat([kept_at(network, tap, part).cpu() for part in images.split(BATCH)])


def load_images(path: Path, discriminator: Discriminator, count: int) -> Tensor:
    """Load `count` images of a prepared split as the network takes them; the same ones each time."""
    split = open_split(path)
    return discriminator.scaled(images_on(discriminator.device, split, some(len(split.images), count)))


def draw(folder: Path, network: nn.Module, images: Tensor, seed: int) -> Drawn | None:
    """Draw what a variant adds to batches of ID images before it has changed the network; None if it adds nothing."""
    found, noise = load_card(folder).settings.get("method") or {}, generator(seed, "frequencies")
    if not isinstance(found, dict) or not found.get("K"):
        return None
    if set(found) <= {"K", "penalty"}:
        starts = draw_like(torch.randn, images.shape, images, noise).clamp(-1, 1)
        return Drawn(starts, starts)
    if "starts" not in found:
        return None
    settings = read_settings(FigSettings, found, str(folder))
    starts = draw_starts(settings.starts, images, len(images), noise)
    ends = sample(network, len(images), tuple(images.shape[1:]), settings.sampler, noise, begin=starts).images
    chains = torch.arange(len(images), device=images.device)
    return Drawn(start_chains(starts, settings.sampler, len(images), chains).see_images(), ends)


def find_spectrum(images: Tensor) -> Spectrum:
    """Measure the spectrum of images in [-1, 1]."""
    return measure_spectrum(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def compare_chains(network: nn.Module, drawn: Mapping[str, Drawn], reference: Spectrum) -> Iterator[list[str]]:
    """Yield a row for each variant: how sure the standard network is, what moved, and high frequencies."""
    for name, each in drawn.items():
        sure = [measure_confidence(network, images).mean() for images in (each.starts, each.ends)]
        moved = (each.ends - each.starts).square().mean().sqrt() / 2
        excess = [measure_excess(find_spectrum(images), reference) for images in (each.starts, each.ends)]
        yield [
            f"`{name}`",
            *(f"{100 * value:.0f}" for value in sure),
            f"{moved:.3f}",
            *(f"{value:+.1f}" for value in excess),
        ]


def smooth_sets(networks: Mapping[str, nn.Module], id_images: Tensor, ood: Named) -> dict[str, dict[str, list[float]]]:
    """Measure AUROCs in per cent of ID images against OOD images as they are and smoothed: by OOD set and network."""
    id_scores = {name: measure_confidence(network, id_images).numpy() for name, network in networks.items()}
    found: dict[str, dict[str, list[float]]] = {}
    for title, images in ood.items():
        ways = [images, *(smooth(images, cutoff).clamp(-1, 1) for cutoff in CUTOFFS)]
        found[title] = {
            name: [100 * auroc(id_scores[name], measure_confidence(network, each).numpy()) for each in ways]
            for name, network in networks.items()
        }
    return found


def measure_bands(networks: Mapping[str, nn.Module], id_images: Tensor, seed: int) -> dict[str, list[float]]:
    """Measure the mean confidence in per cent in ID images, then with noise of each band: by network."""
    noise = generator(seed, "bands")
    ways = [id_images, *((id_images + draw_band(id_images, low, high, noise)).clamp(-1, 1) for low, high in BANDS)]
    return {
        name: [100 * float(measure_confidence(network, each).mean()) for each in ways]
        for name, network in networks.items()
    }


def compare_features(networks: Mapping[str, nn.Module], sets: Named) -> Iterator[list[str]]:
    """Yield a row for each fine-tuned network: linear CKA of its features with the standard network's on each set."""
    before = {title: measure_features(networks[STANDARD], images) for title, images in sets.items()}
    for name, network in networks.items():
        if name != STANDARD:
            yield [
                f"`{name}`",
                *(f"{linear_cka(before[title], measure_features(network, each)):.3f}" for title, each in sets.items()),
            ]


def draw_spectra(axes: Axes, spectra: Mapping[str, Spectrum]) -> None:
    """Draw power, on a logarithmic axis, against frequency."""
    for place, (name, each) in enumerate(spectra.items()):
        style = LINES[place // len(COLOURS) % len(LINES)]
        axes.semilogy(each.frequency, each.power, style, color=COLOURS[place % len(COLOURS)], label=name, linewidth=1.2)
    axes.set(xlabel="cycles a pixel", ylabel="power", title="Spectra")
    axes.legend(frameon=False, fontsize=6)


def draw_lines(axes: Axes, ticks: Sequence[str], lines: Mapping[str, Sequence[float]], **labels: str) -> None:
    """Draw a line for each network."""
    for place, (name, values) in enumerate(lines.items()):
        axes.plot(range(len(ticks)), values, color=COLOURS[place % len(COLOURS)], marker="o", markersize=3, label=name)
    axes.set_xticks(range(len(ticks)), ticks, fontsize=7)
    axes.set(**labels)
    axes.legend(frameon=False, fontsize=6)


def draw_pictures(output: Path, drawn: Mapping[str, Drawn]) -> None:
    """Draw each variant's starts and the ends of their chains."""
    strips: dict[str, Tensor] = {}
    for name, each in drawn.items():
        strips[f"{name}: starts"] = each.starts
        if not each.ends.equal(each.starts):
            strips[f"{name}: ends of their chains"] = each.ends
    if not strips:
        return
    figure, rows = make_strips(len(strips), SHOWN, 0.9, 0.3)
    for (part, axes), (title, images) in zip(rows, strips.items(), strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=8)
        hide_frames(axes)
        for place, image in zip(axes, images, strict=False):
            place.imshow(((image + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy(force=True))
    figure.savefig(output / "chains.png")


def draw_curves(
    output: Path,
    spectra: Mapping[str, Spectrum],
    smoothed: Mapping[str, Mapping[str, Sequence[float]]],
    bands: Mapping[str, Sequence[float]],
) -> None:
    """Draw spectra, AUROCs against smoothed OOD images, and confidence in ID images with noise of one band."""
    figure, panels = make_panels(1, 2 + len(smoothed), 3.6, 3)
    draw_spectra(panels[0, 0], spectra)
    for axes, (title, lines) in zip(panels[0, 1:-1], smoothed.items(), strict=True):
        draw_lines(
            axes, SMOOTHED, lines, title=f"Against {title}", xlabel="smoothed to, cycles a pixel", ylabel="AUROC, %"
        )
    labels = {"title": "ID images with noise", "xlabel": "band, cycles a pixel", "ylabel": "confidence, %"}
    draw_lines(panels[0, -1], NOISED, bands, **labels)
    figure.savefig(output / "frequencies.png")


def print_smoothed(smoothed: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print AUROCs against each smoothed OOD set, and gains over the standard network."""
    for title, found in smoothed.items():
        print(f"\nAUROC against {title}, as it is and smoothed to so many cycles a pixel (gain over standard), %:\n")
        rows = []
        for name, values in found.items():
            gains = (value - before for value, before in zip(values, found[STANDARD], strict=True))
            rows.append(
                [f"`{name}`", *(f"{value:.1f} ({gain:+.1f})" for value, gain in zip(values, gains, strict=True))]
            )
        print_table(["network", *SMOOTHED], rows)


def main(
    folder: Path,
    *,
    variants: Annotated[list[str], Parameter(help="Fine-tuned variants.", consume_multiple=True, negative=())],
    id_images: Annotated[Path, Parameter(help="A prepared split of ID test images (.npy).")],
    ood_images: Annotated[
        list[Path], Parameter(help="Prepared splits of OOD images.", consume_multiple=True, negative=())
    ],
    seed: int = 0,
    count: Count = 1000,
    device: Device = "cpu",
    output: Annotated[Path | None, Parameter(help="Folder for the pictures.")] = None,
) -> None:
    """Print the tables, and write the pictures into a folder."""
    print_machine(device)
    loaded = {name: load(folder / name / str(seed)).to(device) for name in (STANDARD, *variants)}
    networks = {name: each.network.eval().requires_grad_(False) for name, each in loaded.items()}
    images = load_images(id_images, loaded[STANDARD], count)
    ood = {path.parent.name: load_images(path, loaded[STANDARD], count) for path in ood_images}
    found = {name: draw(folder / name / str(seed), networks[STANDARD], images, seed) for name in variants}
    drawn = {name: each for name, each in found.items() if each}
    reference = find_spectrum(images)

    print_table(CHAINS, list(compare_chains(networks[STANDARD], drawn, reference)))
    smoothed = smooth_sets(networks, images, ood)
    print_smoothed(smoothed)
    bands = measure_bands(networks, images, seed)
    print(f"\nMean confidence in ID images with noise of one band of cycles a pixel ({STRENGTH} r.m.s.), %:\n")
    rows = [[f"`{name}`", *(f"{value:.1f}" for value in values)] for name, values in bands.items()]
    print_table(["network", *NOISED], rows)
    sets = {"ID": images, **ood, **{f"ends of {name}": each.ends for name, each in drawn.items()}}
    print("\nLinear CKA of penultimate features with the standard network's:\n")
    print_table(["network", *sets], list(compare_features(networks, sets)))
    if output:
        output.mkdir(parents=True, exist_ok=True)
        draw_pictures(output, drawn)
        ends = {f"{name}: ends": find_spectrum(each.ends) for name, each in drawn.items()}
        draw_curves(
            output, {"ID": reference, **{n: find_spectrum(each) for n, each in ood.items()}, **ends}, smoothed, bands
        )


if __name__ == "__main__":
    cyclopts.run(main)
