"""Functions behind the paper's tables and figures: what each is made from, and where it is."""

from fig.configuration import TARGETS, shown, studies_for

SHOWN = [target for target in TARGETS if studies_for(STUDY, target)]
COMPARING = [target for target in SHOWN if target in ("table2", "table3")]
TABLES = [
    *(name for name in SHOWN if name in ("table1", "table2", "table3", "table4")),
    *(["paired"] if COMPARING else []),
]
TABLE_TYPES = [".csv", ".md", ".tex", ".html"]
PRINTED = [
    file_hash(path)
    for path in sorted((Path(workflow.basedir) / "fig/report/paper").glob("*.csv"))
]


def files_of_target(target):
    """The files that make up a table or a figure of the paper."""
    return [f"results/{STUDY['run']}/tables/{target}{suffix}" for suffix in TABLE_TYPES]


def metrics_for(*targets):
    """The metrics of the discriminators of those studies that name one of the targets."""
    found = {d.path: None for target in targets for d in discriminators(STUDY, target)}
    return [
        f"results/{STUDY['run']}/discriminators/{path}/metrics.csv" for path in found
    ]


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
