"""What discriminators are sure about: their low-entropy samples, and Figure 5, where chains run on and none stops."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.measures import PATCHED, STANDARD
from fig.report.plots import MOST, add_notes, make_empty, make_strips, note_left_out
from fig.report.results import Arrays, Results, note_missing, stack_tables
from fig.report.targets import Made
from fig.report.titles import place_title, variant_title
from fig.study.selection import Key, Selection

SHOWN = 12  # samples of each discriminator
SIDE, TITLES = 0.85, 0.68  # inches of an image, and of what is written around it
OF_CHAINS = ("wanted", "found", "chains", "steps", "mean_confidence")


def make(results: Results, selection: Selection) -> Made:
    """The first low-entropy samples of standard and FIG, of the first seed that is there."""
    variants = (STANDARD, PATCHED)
    seeds = {key[3] for key in results.folders if key[2] in variants}
    first = next((seed for seed in selection.seeds if seed in seeds), selection.seeds[0])
    until = selection.seeds[: selection.seeds.index(first) + 1]
    missing = {key: reason for key, reason in results.missing.items() if key[2] in variants and key[3] in until}
    found = {key: arrays for key, arrays in results.arrays("samples", variants).items() if key[3] == first}
    rows = [
        (f"{name_discriminator(key, selection)} · mean confidence {100 * arrays['confidence'].mean():.0f} %", arrays)
        for key, arrays in found.items()
    ]
    values = {key: list_images(arrays) for key, arrays in found.items()}
    return Made(figure=draw_image_rows(rows, SHOWN, note_missing(missing)), figure_values=stack_tables(values))


def make_fig5(results: Results, selection: Selection) -> Made:
    """Figure 5: a row of images for each discriminator, and how many chains ended in the wanted class."""
    found = results.arrays("chains")
    rows = [
        (f"{name_discriminator(key, selection)}\n{describe_chains(arrays)}", arrays) for key, arrays in found.items()
    ]
    values = {
        key: list_images(arrays).assign(**{name: arrays[name].item() for name in OF_CHAINS})
        for key, arrays in found.items()
    }
    columns = max((len(arrays["images"]) for arrays in found.values()), default=0)
    figure = draw_image_rows(rows, columns, note_missing(results.missing))
    return Made(figure=figure, figure_values=stack_tables(values))


def name_discriminator(key: Key, selection: Selection) -> str:
    """The title of a discriminator."""
    return f"{place_title(*key[:2], selection.titles)} · {variant_title(key[2])}"


def describe_chains(arrays: Arrays) -> str:
    """What is shown of the chains, and how many ended in the wanted class."""
    wanted, found = str(arrays["wanted"]), arrays["found"]
    if not wanted:
        first = "the first"
    elif found:
        first = f"the first of {found:,} predicted as {wanted}"
    else:
        first = f"none is predicted as {wanted}, so the most confident"
    mean = 100 * arrays["mean_confidence"]
    return f"{first}, of {arrays['chains']:,} chains of {arrays['steps']:,} steps with mean confidence {mean:.0f} %"


def list_images(arrays: Arrays) -> pd.DataFrame:
    """The images as rows: predicted and confidence."""
    shown = None if "wanted" in arrays else SHOWN  # chains are kept because they are shown
    return pd.DataFrame({name: arrays[name][:shown] for name in ("predicted", "confidence")})


def draw_image_rows(rows: Sequence[tuple[str, Arrays]], columns: int, note: str) -> Figure:
    """Draw a row of images for each title, with the predicted class and the confidence of each.

    A row's arrays hold `images` (n, size, size, 3), `confidence` (n,) and `predicted` (n,), classes or their names.
    """
    if not rows:
        return make_empty(f"There is no low-entropy sample to show. {note}")
    figure, strips = make_strips(min(len(rows), MOST), columns, SIDE, TITLES)
    for (part, axes), (title, arrays) in zip(strips, rows, strict=False):
        part.suptitle(title, x=0.01, ha="left", fontsize=8)
        draw_images(axes, arrays)
    return add_notes(figure, note_left_out(len(strips), len(rows)), note)


def draw_images(axes: Sequence[Axes], arrays: Arrays) -> None:
    """Draw the first images of `arrays`, one on each of the axes, with the predicted class and its confidence."""
    shown = zip(axes, arrays["images"], arrays["predicted"], arrays["confidence"], strict=False)
    for each, image, predicted, confidence in shown:
        each.imshow(image, interpolation="nearest")
        each.set_xlabel(f"{predicted}\n{100 * confidence:.0f} %", fontsize=7, labelpad=2)
