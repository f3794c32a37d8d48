# From metrics to pages: functions of the files that the other rules made.


rule metrics:
    input:
        of_all("metrics.csv"),
    output:
        metrics=f"{RUN}/metrics.csv",
        record=f"{RUN}/metrics.record.json",
    log:
        f"{RUN}/logs/metrics.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        **costs.ask_little(),
    params:
        **params_of(metrics_job),
    shell:
        "python -m {params.job:q} 2> {log}"


rule report:
    input:
        rules.metrics.output,
        of_all("discriminator.json"),
        of_all("training.record.json"),
        of_all("evaluation.record.json"),
        [f"{split}.record.json" for split in list_splits(CONFIG)],
        [
            f"{RUN}/{path}"
            for target in planned_targets(CONFIG)
            for path in [*target.outputs(), target.record]
        ],
        [
            f"{RUN}/discriminators/{found.path}/training.record.json"
            for found in list_parents(CONFIG)
        ],
        data=[f"{split}.json" for split in list_splits(CONFIG)],
    output:
        page=report(
            f"{RUN}/report.html",
            caption="../report/page.rst",
            category="Page",
            labels={"page": CONFIG.run},
        ),
        pages=directory(f"{RUN}/pages"),
        record=f"{RUN}/report.record.json",
    log:
        f"{RUN}/logs/report.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        **costs.ask_little(),
    params:
        **params_of(report_job),
        options=unrecorded(report_options()),
    shell:
        "python -m {params.job:q} {params.options} 2> {log}"
