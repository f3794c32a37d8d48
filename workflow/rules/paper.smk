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


rule throughput:
    input:
        model=f"results/{{run}}/discriminators/{{id_dataset}}/{{network}}/standard/{FIRST}/model.safetensors",
    output:
        measured="results/{run}/throughput/{id_dataset}/{network}.json",
        timing="results/{run}/throughput/{id_dataset}/{network}.timing.json",
    log:
        "results/{run}/logs/throughput/{id_dataset}/{network}.log",
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("evaluation")
    resources:
        **spread("evaluation"),
        gpu=gpus_of("evaluation"),
        mem_mb=throughput_mb,
        runtime=throughput_minutes,
        workers=resources_of("evaluation"),
    params:
        code=fingerprint("fig.stages.throughput"),
        sampler=as_json(STUDY["fig"]["sampler"]),
        folder=subpath(input.model, parent=True),
        settings=as_json(STUDY["throughput"]),
    shell:
        "python -m fig.stages.throughput --discriminator {params.folder} --output {output.measured}"
        " --settings {params.settings:q} --sampler {params.sampler:q} --resources {resources.workers:q} 2> {log}"


rule embedding:
    input:
        model=f"{FOLDER}/model.safetensors",
        test=test_split,
    output:
        embedding=f"{FOLDER}/embedding.npz",
        timing=f"{FOLDER}/timing.embedding.json",
    log:
        "results/{run}/logs/embedding/{id_dataset}/{network}/{variant}/{seed}.log",
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("evaluation")
    resources:
        **spread("evaluation"),
        gpu=gpus_of("evaluation"),
        mem_mb=embedding_mb,
        runtime=embedding_minutes,
        workers=resources_of("evaluation"),
    params:
        code=fingerprint("fig.stages.embedding"),
        sampler=as_json(STUDY["fig"]["sampler"]),
        folder=subpath(input.model, parent=True),
        settings=as_json(STUDY["embedding"]),
    shell:
        "python -m fig.stages.embedding --discriminator {params.folder} --test {input.test}"
        " --settings {params.settings:q} --sampler {params.sampler:q} --resources {resources.workers:q} 2> {log}"


rule chains:
    input:
        model=f"{FOLDER}/model.safetensors",
        test=test_split,
    output:
        chains=f"{FOLDER}/chains.npz",
        timing=f"{FOLDER}/timing.chains.json",
    log:
        "results/{run}/logs/chains/{id_dataset}/{network}/{variant}/{seed}.log",
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("evaluation")
    resources:
        **spread("evaluation"),
        gpu=gpus_of("evaluation"),
        mem_mb=chains_mb,
        runtime=chains_minutes,
        workers=resources_of("evaluation"),
    params:
        code=fingerprint("fig.stages.chains"),
        sampler=as_json(STUDY["fig"]["sampler"]),
        folder=subpath(input.model, parent=True),
        settings=chains_settings,
    shell:
        "python -m fig.stages.chains --discriminator {params.folder} --test {input.test}"
        " --settings {params.settings:q} --sampler {params.sampler:q} --resources {resources.workers:q} 2> {log}"


rule picture:
    input:
        behind_picture,
    output:
        captioned(
            "results/{run}/figures/{picture}.png",
            "Figures",
            "picture",
            figure="{picture}",
        ),
        "results/{run}/figures/{picture}.csv",
        timing="results/{run}/figures/{picture}.timing.json",
    log:
        "results/{run}/logs/figures/{picture}.log",
    wildcard_constraints:
        picture="fig[1-5]",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.picture"),
        shown=shown_in_picture,
        variants=variants_in_picture,
    shell:
        "python -m fig.stages.picture --target {wildcards.picture} {params.shown} --variants {params.variants:q}"
        " --run results/{wildcards.run} 2> {log}"


rule spectra:
    input:
        metrics_for("resampling"),
        images=images_for_resampling,
    output:
        tabled("results/{run}/tables/resampling", "resampling", table="resampling"),
        captioned(
            "results/{run}/figures/resampling.png", "Figures", figure="resampling"
        ),
        "results/{run}/figures/resampling.csv",
        timing="results/{run}/tables/resampling.timing.json",
    log:
        "results/{run}/logs/tables/resampling.log",
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.spectra"),
        shown=shown_in("resampling"),
        data=lambda wildcards, input: " ".join(
            f"--data {path}" for path in input.images
        ),
    shell:
        "python -m fig.stages.spectra {params.data} {params.shown} --run results/{wildcards.run} 2> {log}"
