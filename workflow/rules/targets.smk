"""Functions behind the paper's tables and figures: what each is made from, and where it is."""

from fig import configuration
from fig.configuration import TARGETS, shown, studies_for
from fig.runtime.origin import BEHIND_PICTURES

SHOWN = [target for target in TARGETS if studies_for(STUDY, target)]
COMPARING = [target for target in SHOWN if target in configuration.COMPARING]
TABLES = [
    *(name for name in SHOWN if name.startswith("table") or name == "resampling"),
    *(["paired"] if COMPARING else []),
]
FIRST = STUDY["seeds"][0]  # whose generated samples are looked at
PICTURED = [target for target in SHOWN if target in BEHIND_PICTURES]
TABLE_TYPES = [".csv", ".md", ".tex", ".html"]
PRINTED = [
    file_hash(path)
    for path in sorted((Path(workflow.basedir) / "fig/report/paper").glob("*.csv"))
]


def files_of_target(target):
    """The files that make up a table or a figure of the paper."""
    run = f"results/{STUDY['run']}"
    tables = [f"{run}/tables/{target}{suffix}" for suffix in TABLE_TYPES]
    figures = [f"{run}/figures/{target}{suffix}" for suffix in (".png", ".csv")]
    return tables * (target in TABLES) + figures * (not target.startswith("table"))


def files_for(name, *targets):
    """This file of the discriminators of those studies that name one of the targets."""
    found = {d.path: None for target in targets for d in discriminators(STUDY, target)}
    return [f"results/{STUDY['run']}/discriminators/{path}/{name}" for path in found]


def metrics_for(*targets):
    return files_for("metrics.csv", *targets)


def behind_picture(wildcards):
    """What a figure is made of."""
    files = [
        path
        for name in BEHIND_PICTURES[wildcards.picture]
        for path in files_for(name, wildcards.picture)
    ]
    first = wildcards.picture in ("fig4", "fig5")
    return [path for path in files if not first or path.split("/")[-2] == str(FIRST)]


def chains_settings(wildcards):
    """How chains are run on an ID data set: a class that is wanted on another is none of its business."""
    stated = STUDY["chains"]
    wanted = {k: v for k, v in stated["wanted"].items() if k == wildcards.id_dataset}
    return as_json({**stated, "wanted": wanted})


def images_for_resampling(wildcards):
    """The images whose spectra are compared."""
    found = splits(STUDY, "resampling")
    return [f"{split}.npy" for split in found if Path(split).name == "test"]


def metrics_for_table(wildcards):
    return metrics_for(wildcards.table)


def metrics_for_comparing(wildcards):
    return metrics_for(*COMPARING)


def throughputs():
    """The measurements behind Table 5."""
    found = {(d.id_dataset, d.network): None for d in discriminators(STUDY, "table5")}
    return [
        f"results/{STUDY['run']}/throughput/{id_dataset}/{network}.json"
        for id_dataset, network in found
    ]


def shown_in(*targets):
    """What the targets show, as options of a command."""
    return " ".join(
        f"--{name} {quote(as_json(value))}"
        for name, value in shown(STUDY, *targets).items()
    )


def shown_in_table(wildcards):
    return shown_in(wildcards.table)


def shown_in_comparing(wildcards):
    return shown_in(*COMPARING)


def shown_in_picture(wildcards):
    return shown_in(wildcards.picture)


def variants_in_picture(wildcards):
    """What the configuration states of the variants that a figure shows."""
    named = {
        name: None
        for study in studies_for(STUDY, wildcards.picture)
        for name in study["variants"]
    }
    stated = {name: STUDY["variants"].get(name, {}) for name in named}
    told = ("method", "teacher")
    return as_json(
        {
            name: {k: v for k, v in each.items() if k in told}
            for name, each in stated.items()
        }
    )
