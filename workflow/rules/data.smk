# From publishers' files to arrays.


rule prepare:
    output:
        images="data/{size}/{dataset}/{split}.npy",
        description="data/{size}/{dataset}/{split}.json",
        timing="data/{size}/{dataset}/{split}.timing.json",
    log:
        "logs/prepare/{size}/{dataset}/{split}.log",
    conda:
        "../../envs/fig.yaml"
    params:
        code=fingerprint("fig.stages.prepare"),
        seed=0,
    shell:
        "python -m fig.stages.prepare --output {output.images} --seed {params.seed} 2> {log}"
