# A rule for every table, figure and study that can be asked for by name, from the discriminators that it shows.


def target_job(target, selection):
    def job(wildcards):
        return MakeTarget(
            target=target.name,
            selection=selection,
            images=tuple(list_test_images(CONFIG, target)),
            folder=RUN,
        )

    return job


def target_outputs(target):
    """The files of a target; Snakemake's report shows the HTML and CSV of a table, and the picture of a figure."""
    for path in target.outputs():
        kind, name = path.split("/")
        shown = kind == "figures" and name.endswith(".png")
        shown |= kind == "tables" and name.endswith((".html", ".csv"))
        path = f"{RUN}/{path}"
        labels = {kind.removesuffix("s"): target.name, "file": Path(name).suffix[1:]}
        yield captioned(path, kind.capitalize(), **labels) if shown else path


for target in planned_targets(CONFIG):
    selection = select_studies(CONFIG, target)

    rule:
        name:
            target.name
        input:
            files=[f"{RUN}/{path}" for path in target.files(selection)],
            images=list_test_images(CONFIG, target),
        output:
            *target_outputs(target),
            record=f"{RUN}/{target.record}",
        log:
            f"{RUN}/logs/targets/{target.name}.log",
        conda:
            "../../envs/fig.yaml"
        resources:
            **costs.ask_little(),
        params:
            **params_of(target_job(target, selection)),
            title=target.title,
            caption=target.caption,
        shell:
            "python -m {params.job:q} 2> {log}"
