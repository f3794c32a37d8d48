# Every rule here makes a discriminator: its weights, its card, its history and its record.


def recipe_for(wildcards, variant):
    """What a training is told of its variant: method, settings that differ, training, augmentation."""
    found = resolve_recipe(CONFIG, variant, wildcards.id_dataset)
    return {
        "variant": variant,
        "seed": int(wildcards.seed),
        "method": found.method,
        "settings": found.stated_settings(),
        "training": found.training,
        "augmentation": found.augmentation,
    }


def network_for(wildcards):
    """What a training of a new network is told of it."""
    return {
        "network": wildcards.network,
        "architecture": CONFIG.networks[wildcards.network].architecture(),
        "scaling": CONFIG.scaling,
    }


def places(wildcards, input, output):
    return {
        "train": input.train,
        "output": folder_of(output.model),
        "checkpoints": f"{RUN}/checkpoints",
    }


def pretrain_job(wildcards, input, output):
    recipe = recipe_for(wildcards, "standard")
    return Pretrain(
        **places(wildcards, input, output), **network_for(wildcards), **recipe
    )


def adopt_job(wildcards, input, output):
    return Adopt(
        train=input.train,
        weights=input.weights,
        size=CONFIG.datasets[wildcards.id_dataset].size,
        seed=int(wildcards.seed),
        output=folder_of(output.model),
        **network_for(wildcards),
    )


def retrain_job(wildcards, input, output):
    recipe = recipe_for(wildcards, wildcards.variant)
    return Retrain(
        **places(wildcards, input, output), **network_for(wildcards), **recipe
    )


def finetune_job(wildcards, input, output):
    recipe = recipe_for(wildcards, wildcards.variant)
    standard = folder_of(input.standard)
    return Finetune(standard=standard, **places(wildcards, input, output), **recipe)


def transfer_job(wildcards, input, output):
    recipe = recipe_for(wildcards, wildcards.variant)
    return Transfer(
        standard=folder_of(input.standard),
        teacher=folder_of(input.teacher),
        **places(wildcards, input, output),
        **recipe,
    )


def weights_of(wildcards):
    return CONFIG.networks[wildcards.network].checkpoint


def teacher_of(wildcards):
    network, variant = split_teacher(CONFIG.variants[wildcards.variant])
    names = dict(wildcards.items()) | {"network": network, "variant": variant}
    return FOLDER.format(**names) + "/model.safetensors"


def discriminator(folder):
    """The files of a discriminator."""
    return {
        "model": f"{folder}/model.safetensors",
        "card": f"{folder}/discriminator.json",
        "history": f"{folder}/history.csv",
        "record": f"{folder}/training.record.json",
    }


ADOPTED = [name for name, network in CONFIG.networks.items() if network.checkpoint]


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
    shell:
        "python -m {params.job:q} --checkpoints results/{wildcards.run}/checkpoints"
        " {resources.workers} 2> {log}"


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
        standard=f"{STANDARD}/model.safetensors",
    log:
        "results/{run}/logs/finetune/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=made_by("finetune"),
    params:
        **params_of(finetune_job),


use rule retrain as transfer with:
    input:
        train=train_split,
        standard=f"{STANDARD}/model.safetensors",
        teacher=teacher_of,
    log:
        "results/{run}/logs/transfer/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=made_by("transfer"),
    params:
        **params_of(transfer_job),
