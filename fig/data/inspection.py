"""Report errors and oddities in the images and labels of a split, before anything is trained on them."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fig.data.arrays import Description
from fig.data.listing import NONE, Listing, check_classes

BROKEN = 0.01  # largest share of images that may be unreadable
UNEVEN = 10  # as many times more images of one class than of another are reported
SHOWN = 20  # most names in a message

log = logging.getLogger("fig")


def check_labels(listing: Listing, labelled: bool, where: str) -> Listing:
    """A listing in which all images have labels, or none has.

    Raises ValueError where they must have labels and some lack them, or where all are of one class.
    """
    check_classes(len(listing.classes), where)
    without = [row for row, label in enumerate(listing.labels or [NONE] * len(listing.names)) if label == NONE]
    if labelled and len(without) == len(listing.names):
        raise ValueError(
            f"{where}: none of the {len(listing.names)} images has a label: state labels, or class folders"
        )
    if without and labelled:
        raise ValueError(
            f"{where}: {len(without)} of {len(listing.names)} images have no label, the first is "
            f"{listing.names[without[0]]}"
        )
    if labelled and len(listing.classes) == 1:
        raise ValueError(f"{where}: there is one class only, {listing.classes[0]}: a discriminator needs two")
    return Listing(listing.names, listing.read) if without else listing


def labels_as_in(train: Description, listing: Listing, where: str) -> list[int]:
    """A test split's labels as indices into the training split's classes.

    Raises ValueError naming the classes of test images that training lacks.
    """
    number = {name: index for index, name in enumerate(train.classes)}
    present = Counter(listing.classes[label] for label in listing.labels)
    if unknown := sorted(set(present) - set(number)):
        raise ValueError(
            f"{where}: labels out of range, there are no training images of class {join_names(unknown)} "
            f"({sum(present[name] for name in unknown)} of {len(listing.labels)} test images) but of "
            f"{join_names(train.classes)}"
        )
    return [number[listing.classes[label]] for label in listing.labels]


def join_names(names: Sequence[str]) -> str:
    """Names in a row; of many the first, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def count_classes(labels: Iterable[int], classes: Sequence[str]) -> dict[str, int]:
    """Images of each class."""
    found = Counter(labels)
    return {name: found[index] for index, name in enumerate(classes)}


def report_classes(counts: dict[str, int], where: str) -> None:
    """Log the images of each class; warn of classes without images, and of uneven ones (UNEVEN)."""
    if not counts:
        return
    ranked = sorted(counts, key=lambda name: (counts[name], name))
    log.info("%s: images of each class: %s", where, join_names([f"{counts[name]} {name}" for name in ranked]))
    if empty := [name for name in ranked if not counts[name]]:
        log.warning("%s: %d of %d classes have no images: %s", where, len(empty), len(counts), join_names(empty))
    fewest, most = next((name for name in ranked if counts[name]), ranked[0]), ranked[-1]
    if counts[most] >= UNEVEN * counts[fewest]:
        ratio = f"{counts[most] / counts[fewest]:.0f} times as many"
        message = "%s: the classes are uneven: %d images of %s, %d of %s, %s"
        log.warning(message, where, counts[fewest], fewest, counts[most], most, ratio)


@dataclass(frozen=True)
class Taken:
    """What became of the images of a split, filled while they are written."""

    rows: list[int] = field(default_factory=list)  # places of the images that were kept
    hashes: list[str] = field(default_factory=list)  # of their sources, 16 hexadecimal digits each
    broken: dict[str, str] = field(default_factory=dict)  # by name, why an image could not be read
    deep: list[str] = field(default_factory=list)  # names of images of 16 bits a value

    def check(self, where: str, train: Description | None, own: bool) -> None:
        """Raise ValueError where too many were broken or test images are among the training images."""
        count, reasons = len(self.rows) + len(self.broken), Counter(self.broken.values())
        why = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        if len(self.broken) > BROKEN * count:
            raise ValueError(
                f"{where}: {len(self.broken)} of {count} images cannot be read, the first is {next(iter(self.broken))} "
                f"({why}); at most {BROKEN:.0%} may be skipped"
            )
        if self.broken:
            names = list(self.broken)[:5]
            log.warning("%s: %d images cannot be read and were skipped (%s): %s", where, len(self.broken), why, names)
        if self.deep:
            message = (
                "%s: %d of %d images hold 16 bits a value and become 8: grey is divided by 257, of colour the upper 8"
            )
            log.warning(f"{message} are kept; the first is %s", where, len(self.deep), len(self.rows), self.deep[0])
        if train and (shared := len(set(self.hashes) & set(train.made["hashes"]))):
            same = f"{where}: {shared} test images are also training images, byte for byte"
            if own:
                raise ValueError(f"{same}; remove them from one of the two")
            log.warning(same)
