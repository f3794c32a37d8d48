# The paper's tables and figures, each from the discriminators of the studies that name it.


for target in SHOWN:

    rule:
        name:
            target
        input:
            files_of_target(target),


rule table:
    input:
        metrics_for_table,
    output:
        tabled("results/{run}/tables/{table}", "table", table="{table}"),
        timing="results/{run}/tables/{table}.timing.json",
    log:
        "results/{run}/logs/tables/{table}.log",
    wildcard_constraints:
        table="table[1-4]",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.table"),
        printed=PRINTED,
        shown=shown_in_table,
    shell:
        "python -m fig.stages.table --target {wildcards.table} {params.shown} --run results/{wildcards.run} 2> {log}"


rule paired:
    input:
        metrics_for_comparing,
    output:
        tabled("results/{run}/tables/paired", "paired", table="paired"),
        captioned("results/{run}/figures/ranks.png", "Figures", figure="ranks"),
        "results/{run}/figures/ranks.csv",
        timing="results/{run}/tables/paired.timing.json",
    log:
        "results/{run}/logs/tables/paired.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.paired"),
        printed=PRINTED,
        shown=shown_in_comparing,
    shell:
        "python -m fig.stages.paired {params.shown} --run results/{wildcards.run} 2> {log}"


rule speeds:
    input:
        throughputs(),
    output:
        tabled("results/{run}/tables/table5", "table", table="table5"),
        timing="results/{run}/tables/table5.timing.json",
    log:
        "results/{run}/logs/tables/table5.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.speeds"),
        printed=PRINTED,
        throughput=lambda wildcards, input: " ".join(
            f"--throughput {path}" for path in input
        ),
    shell:
        "python -m fig.stages.speeds {params.throughput} --run results/{wildcards.run} 2> {log}"
