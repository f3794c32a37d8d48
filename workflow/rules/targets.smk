"""Functions behind the paper's tables and figures: what each is made from, and where it is."""

from fig.configuration import TARGETS, shown, studies_for

SHOWN = [target for target in TARGETS if studies_for(STUDY, target)]
TABLE_TYPES = ["csv", "md", "tex", "html"]


def table_files(*names):
    return [
        f"results/{STUDY['run']}/tables/{name}.{suffix}"
        for name in names
        for suffix in TABLE_TYPES
    ]


def files_of_target(target):
    """The files that make up a table or a figure of the paper."""
    return table_files(target)


def metrics_for(*targets):
    """The metrics of the discriminators of those studies that name one of the targets."""
    found = {d.path: None for target in targets for d in discriminators(STUDY, target)}
    return [
        f"results/{STUDY['run']}/discriminators/{path}/metrics.csv" for path in found
    ]


def behind_table(wildcards):
    """What a table is made of."""
    return metrics_for(wildcards.table)


def shown_in(*targets):
    """What the targets show, as options of a command."""
    return " ".join(
        f"--{name} {quote(as_json(value))}"
        for name, value in shown(STUDY, *targets).items()
    )


def shown_in_table(wildcards):
    return shown_in(wildcards.table)
