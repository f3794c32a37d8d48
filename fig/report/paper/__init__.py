"""The paper's printed values as tidy tables in this project's names, shares of one; see README.md here."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from fig.networks.table import NETWORKS
from fig.study.selection import Selection

AVERAGE = "average"
GAIN = "gain"
HARMONIC, HALF = "harmonic mean", "half of it, as the paper prints"

NAMED = {row.title: name for name, row in NETWORKS.items()}
DETECTORS = {"baseline": "baseline", "odin": "odin", "mlb": "mahalanobis", "drf": "residual_flow", "gm": "gram"}
METHODS = {"gs": "gaussian", "ad": "adversarial", "dcc": "deconf"}  # the others are called the same
PROTOCOLS = ("", "oracle")  # of the paper: settings chosen on the test OOD set, where there is something to choose

Printed: TypeAlias = pd.DataFrame  # columns of a place, with titles of data sets; column; paper, a share of one


def read_printed(name: str) -> pd.DataFrame:
    """A file of the paper's values, with networks, detectors and methods in this project's names."""
    table = pd.read_csv(Path(__file__).with_name(f"{name}.csv"))
    renamed = {"network": NAMED, "detector": DETECTORS, "method": METHODS, "ood_dataset": {"Ave.": AVERAGE}}
    return table.replace({column: names for column, names in renamed.items() if column in table})


def read_by_detector() -> Printed:
    """Table 1: places are ID data set, network, detector and protocol; columns standard, fig and gain."""
    table = read_printed("table1").rename(columns={"standard_auroc": "standard", "fig_auroc": "fig"})
    table[GAIN] = table["fig"] - table["standard"]
    table = table.merge(pd.DataFrame({"protocol": PROTOCOLS}), how="cross")
    tidy = table.melt(["id_dataset", "network", "detector", "protocol"], var_name="column", value_name="paper")
    return tidy.assign(paper=tidy["paper"] / 100)


def read_by_method() -> Printed:
    """Tables 2 and 3: places are ID data set, network and OOD set, or `average`; columns are methods.

    Standard's averages are those of Table 1 under the baseline.
    """
    table = pd.concat([read_printed("table2"), read_printed("table3")], ignore_index=True)
    methods = table.rename(columns={"method": "column"}).assign(paper=table["auroc"] / 100)
    first = read_printed("table1").query("detector == 'baseline'")
    standard = first.assign(ood_dataset=AVERAGE, column="standard", paper=first["standard_auroc"] / 100)
    return pd.concat([methods, standard], ignore_index=True)[
        ["id_dataset", "network", "ood_dataset", "column", "paper"]
    ]


def read_harmonic_means() -> Printed:
    """Table 4: places are ID data set, network and measure; columns are methods.

    What the paper prints is half of the harmonic mean, so the harmonic mean is compared with twice that.
    """
    table = read_printed("table4").rename(columns={"method": "column"})
    printed = table.pop("harmonic_mean_as_printed") / 100
    halves = table.assign(network="resnet18", measure=HALF, paper=printed)
    return pd.concat([halves.assign(measure=HARMONIC, paper=2 * printed), halves], ignore_index=True)


def read_throughput() -> pd.DataFrame:
    """Table 5: columns network, size (pixels a side) and paper (images a second)."""
    table = read_printed("table5").rename(columns={"image_size": "size", "images_per_second": "paper"})
    return table[["network", "size", "paper"]]


def list_ood_sets(title: str) -> list[str]:
    """The OOD sets of the paper for the ID data set with this title, in its order."""
    table = read_by_method()
    return [name for name in table.loc[table["id_dataset"] == title, "ood_dataset"].unique() if name != AVERAGE]


def note_other_sets(selection: Selection) -> Iterator[str]:
    """A sentence for each of the paper's ID data sets where our averages are over other OOD sets."""
    sets: dict[str, dict[str, None]] = {}
    for study in selection.studies:
        for name in study.id_datasets:
            sets.setdefault(name, {}).update(dict.fromkeys(study.ood_datasets))
    for name, ours in sets.items():
        theirs = list_ood_sets(selection.titles.get(name, name))
        if theirs and sorted(selection.titles.get(each, each) for each in ours) != sorted(theirs):
            yield (
                f"On {name} our averages are over {', '.join(ours)}; the paper's are over {', '.join(theirs)}: "
                "an average's difference is also one of OOD sets."
            )
