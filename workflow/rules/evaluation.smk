# What is measured of a discriminator. One job scores it with all detectors on all its OOD sets: a job is worth starting.


rule evaluate:
    input:
        model=f"{FOLDER}/model.safetensors",
        train=train_split,
        test=test_split,
        ood=ood_splits,
    output:
        metrics=f"{FOLDER}/metrics.csv",
        scores=directory(f"{FOLDER}/scores"),
        samples=f"{FOLDER}/samples.npz",
        picture=f"{FOLDER}/samples.png",
        record=f"{FOLDER}/evaluation.record.json",
    log:
        "results/{run}/logs/evaluate/{id_dataset}/{network}/{variant}/{seed}.log",
    conda:
        "../../envs/fig.yaml"
    threads: costs.cpus_of(CONFIG.resources.evaluation)
    resources:
        **costs.ask_evaluation(CONFIG),
    params:
        **params_of(evaluate_job),
        workers=unrecorded(costs.state_workers(CONFIG.resources.evaluation)),
    shell:
        "python -m {params.job:q} {params.workers} 2> {log}"


use rule evaluate as throughput with:
    input:
        model=f"results/{{run}}/discriminators/{{id_dataset}}/{{network}}/standard/{FIRST_SEED}/model.safetensors",
    output:
        measured="results/{run}/throughput/{id_dataset}/{network}.json",
        record="results/{run}/throughput/{id_dataset}/{network}.record.json",
    log:
        "results/{run}/logs/throughput/{id_dataset}/{network}.log",
    resources:
        **costs.ask_throughput(CONFIG),
    params:
        **params_of(throughput_job),


use rule evaluate as embedding with:
    input:
        model=f"{FOLDER}/model.safetensors",
        test=test_split,
    output:
        embedding=f"{FOLDER}/embedding.npz",
        record=f"{FOLDER}/embedding.record.json",
    log:
        "results/{run}/logs/embedding/{id_dataset}/{network}/{variant}/{seed}.log",
    resources:
        **costs.ask_embedding(CONFIG),
    params:
        **params_of(embedding_job),


use rule embedding as chains with:
    output:
        chains=f"{FOLDER}/chains.npz",
        record=f"{FOLDER}/chains.record.json",
    log:
        "results/{run}/logs/chains/{id_dataset}/{network}/{variant}/{seed}.log",
    resources:
        **costs.ask_chains(CONFIG),
    params:
        **params_of(chains_job),
