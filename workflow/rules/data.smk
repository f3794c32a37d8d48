# From publishers' files to arrays.


def download_job(wildcards, input, output):
    file = DOWNLOADS[wildcards.source, wildcards.file]
    return Download(file=file, output=output.file)


def download_options():
    """Where downloads come from: how they came changes nothing about them, so it reruns nothing."""
    stated = CONFIG.data
    mirror = [f"--mirror {quote(stated.mirror)}"] if stated.mirror else []
    return " ".join(mirror + ["--accept-unknown-hashes"] * stated.accept_unknown_hashes)


def files_to_prepare(wildcards):
    return files_of(wildcards.dataset, wildcards.split, CONFIG.datasets)


def training_split_of_test(wildcards):
    """An ID test split is prepared beside its training split: same classes, no image in both."""
    found = CONFIG.datasets.get(wildcards.dataset)
    is_test = isinstance(found, IdDataset) and wildcards.split == "test"
    return [f"data/{wildcards.size}/{wildcards.dataset}/train.npy"] * is_test


def prepare_job(wildcards, input, output):
    dataset, split, size = wildcards.dataset, wildcards.split, int(wildcards.size)
    own = source_of(dataset, CONFIG.datasets) in CONFIG.own_datasets
    return Prepare(
        files=tuple(input.files),
        train=next(iter(input.train), None),
        recipe=recipe(dataset, split, size, CONFIG.datasets, own),
        output=output.images,
    )


rule download:
    output:
        file="data/downloads/{source}/{file}",
    log:
        "logs/download/{source}/{file}.log",
    wildcard_constraints:
        source=one_of({source for source, _ in DOWNLOADS}),
        file=one_of({file for _, file in DOWNLOADS}),
    conda:
        "../../envs/fig.yaml"
    resources:
        options=download_options(),
    params:
        **params_of(download_job),
    shell:
        "python -m {params.job:q} {resources.options} 2> {log}"


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
