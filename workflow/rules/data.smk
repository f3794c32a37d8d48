# From publishers' files to arrays.


rule download:
    output:
        file="data/downloads/{source}/{file}",
    log:
        "logs/download/{source}/{file}.log",
    wildcard_constraints:
        source=one_of(source for source, _ in DOWNLOADS),
        file=one_of(file for _, file in DOWNLOADS),
    conda:
        "../../envs/fig.yaml"
    resources:
        options=download_options(),
    params:
        code=fingerprint("fig.stages.download"),
        file=file_offered,
    shell:
        "python -m fig.stages.download --output {output.file} --file {params.file:q} {resources.options} 2> {log}"


rule prepare:
    input:
        files=files_to_prepare,
        train=training_split_of_test,
    output:
        images="data/{size}/{dataset}/{split}.npy",
        description="data/{size}/{dataset}/{split}.json",
        timing="data/{size}/{dataset}/{split}.timing.json",
    log:
        "logs/prepare/{size}/{dataset}/{split}.log",
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("preparation")
    resources:
        mem_mb=preparation_mb,
        runtime=preparation_minutes,
    params:
        code=fingerprint("fig.stages.prepare"),
        recipe=recipe_of,
        options=lambda wildcards, input: " ".join(
            [f"--file {quote(path)}" for path in input.files]
            + [f"--train {path}" for path in input.train]
        ),
        seed=0,
    shell:
        "python -m fig.stages.prepare --output {output.images} --recipe {params.recipe:q} {params.options}"
        " --seed {params.seed} --workers {threads} 2> {log}"
