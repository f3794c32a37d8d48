# From publishers' files to arrays.


rule download:
    output:
        file="data/downloads/{source}/{file}",
    log:
        "logs/download/{source}/{file}.log",
    wildcard_constraints:
        source=one_of({source for source, _ in DOWNLOADS}),
        file=one_of({file for _, file in DOWNLOADS}),
    localrule: True  # computing nodes have no internet
    conda:
        "../../envs/fig.yaml"
    params:
        **params_of(download_job),
        options=unrecorded(download_options()),
    shell:
        "python -m {params.job:q} {params.options} 2> {log}"


rule prepare:
    input:
        files=files_to_prepare,
        train=training_split_of_test,
    output:
        images="data/{size}/{dataset}/{split}.npy",
        description="data/{size}/{dataset}/{split}.json",
        record="data/{size}/{dataset}/{split}.record.json",
    log:
        "logs/prepare/{size}/{dataset}/{split}.log",
    conda:
        "../../envs/fig.yaml"
    threads: costs.cpus_of(CONFIG.resources.preparation)
    resources:
        **costs.ask_preparation(CONFIG),
    params:
        **params_of(prepare_job),
    shell:
        "python -m {params.job:q} --workers {threads} 2> {log}"
