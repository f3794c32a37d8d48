# The paper's tables and figures, each from the discriminators of the studies that name it.


for target in SHOWN:

    rule:
        name:
            target
        input:
            files_of_target(target),


rule table:
    input:
        behind_table,
    output:
        multiext("results/{run}/tables/{table}", ".csv", ".md", ".tex", ".html"),
        timing="results/{run}/tables/{table}.timing.json",
    log:
        "results/{run}/logs/tables/{table}.log",
    wildcard_constraints:
        table="table[1-5]",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.table"),
        shown=shown_in_table,
    shell:
        "python -m fig.stages.table --target {wildcards.table} {params.shown} --run results/{wildcards.run} 2> {log}"
