# Every rule here makes a discriminator: its weights, its card, its history and its record.


rule pretrain:
    input:
        train=train_split,
    output:
        **discriminator(STANDARD),
    log:
        "results/{run}/logs/pretrain/{id_dataset}/{network}/standard/{seed}.log",
    wildcard_constraints:
        network=one_of(name for name in CONFIG.networks if name not in ADOPTED),
    priority: costs.order_longest_first(CONFIG)
    conda:
        "../../envs/fig.yaml"
    threads: costs.cpus_of(CONFIG.resources.training)
    resources:
        **costs.ask_training(CONFIG),
    params:
        **params_of(pretrain_job),
        workers=unrecorded(costs.state_workers(CONFIG.resources.training)),
    shell:
        "python -m {params.job:q} --checkpoints results/{wildcards.run}/checkpoints"
        " {params.workers} 2> {log}"


rule adopt:
    input:
        train=train_split,
        weights=weights_of,
    output:
        **discriminator(STANDARD),
    log:
        "results/{run}/logs/adopt/{id_dataset}/{network}/standard/{seed}.log",
    wildcard_constraints:
        network=one_of(ADOPTED),
    priority: costs.order_longest_first(CONFIG)
    conda:
        "../../envs/fig.yaml"
    resources:
        **costs.ask_little(),
    params:
        **params_of(adopt_job),
    shell:
        "python -m {params.job:q} 2> {log}"


use rule pretrain as retrain with:
    output:
        **discriminator(FOLDER),
    log:
        "results/{run}/logs/retrain/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        network="|".join(CONFIG.networks),
        variant=made_by("retrain"),
    params:
        **params_of(retrain_job),


use rule retrain as finetune with:
    input:
        train=train_split,
        standard=base_of,
    log:
        "results/{run}/logs/finetune/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=made_by("finetune"),
    params:
        **params_of(finetune_job),


use rule retrain as transfer with:
    input:
        train=train_split,
        standard=base_of,
        teacher=teacher_of,
    log:
        "results/{run}/logs/transfer/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=made_by("transfer"),
    params:
        **params_of(transfer_job),
