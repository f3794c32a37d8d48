# From metrics to pages: functions of the files that the other rules made.


rule tables:
    input:
        of_all("metrics.csv"),
    output:
        metrics="results/{run}/metrics.csv",
        tables=tabled(
            "results/{run}/tables/comparison", "comparison", table="comparison"
        ),
        timing="results/{run}/tables/timing.json",
    log:
        "results/{run}/logs/tables.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.tables"),
        discriminators=folder_options,
    shell:
        "python -m fig.stages.tables {params.discriminators} --output results/{wildcards.run} 2> {log}"


rule figures:
    input:
        of_all("history.csv"),
        of_all("samples.npz"),
        of_all("scores"),
    output:
        pictures=[
            captioned(f"results/{{run}}/figures/{name}.png", "Figures", figure=name)
            for name in ("finetuning", "scores", "samples")
        ],
        timing="results/{run}/figures/timing.json",
    log:
        "results/{run}/logs/figures.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.figures"),
        discriminators=folder_options,
    shell:
        "python -m fig.stages.figures {params.discriminators} --output results/{wildcards.run}/figures 2> {log}"


rule report:
    input:
        of_all("discriminator.json"),
        of_all("history.csv"),
        of_all("timing.training.json"),
        of_all("timing.evaluation.json"),
        of_all("scores"),
        of_all("samples.npz"),
        data=all_prepared("json"),
        figures=[*pictures(), *rules.figures.output.pictures],
        metrics=rules.tables.output.metrics,
        tables=[f"results/{{run}}/tables/{name}.html" for name in TABLES],
        timings=[
            *all_prepared("timing.json"),
            *teacher_timings(),
            rules.tables.output.timing,
            rules.figures.output.timing,
            *(f"results/{{run}}/tables/{name}.timing.json" for name in TABLES),
            *(f"results/{{run}}/figures/{name}.timing.json" for name in PICTURED),
        ],
    output:
        page=captioned("results/{run}/report.html", "Page", page="{run}"),
        pages=directory("results/{run}/pages"),
        timing="results/{run}/report.timing.json",
    log:
        "results/{run}/logs/report.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.report"),
        pages=PAGES,
        discriminators=folder_options,
        options=lambda wildcards, input: " ".join(
            ["--configuration", quote(CONFIGURATION)]
            + [f"--data {path}" for path in input.data]
            + [f"--table {path}" for path in input.tables]
            + [f"--figure {path}" for path in input.figures]
            + [f"--timing {path}" for path in input.timings]
        ),
    shell:
        "python -m fig.stages.report {params.discriminators} --run results/{wildcards.run} {params.options}"
        " 2> {log}"
