# Every rule here makes a discriminator.


rule pretrain:
    input:
        train=train_split,
    output:
        model="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/model.safetensors",
        card="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/discriminator.json",
        history="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/history.csv",
        timing="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/timing.training.json",
    log:
        "results/{run}/logs/pretrain/{id_dataset}/{network}/standard/{seed}.log",
    wildcard_constraints:
        network=one_of(PRETRAINED),
    priority: longest_first
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        **spread("training"),
        gpu=gpus_of("training"),
        mem_mb=training_mb,
        runtime=training_minutes,
        workers=resources_of("training"),
    params:
        code=fingerprint("fig.stages.pretrain"),
        architecture=architecture_of,
        factory=factory_hash,
        augmentation=augmentation_of,
        scaling=STUDY["scaling"],
        training=pretraining_settings,
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.pretrain --train {input.train} --network {wildcards.network}"
        " --architecture {params.architecture:q} --augmentation {params.augmentation:q} --scaling {params.scaling}"
        " --seed {wildcards.seed} --training {params.training:q}"
        " --output {params.folder} --checkpoints results/{wildcards.run}/checkpoints"
        " --resources {resources.workers:q} 2> {log}"


rule adopt:
    input:
        train=train_split,
        checkpoint=checkpoint_of,
    output:
        model="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/model.safetensors",
        card="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/discriminator.json",
        history="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/history.csv",
        timing="results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}/timing.training.json",
    log:
        "results/{run}/logs/adopt/{id_dataset}/{network}/standard/{seed}.log",
    wildcard_constraints:
        network=one_of(ADOPTED),
    priority: longest_first
    conda:
        "../../envs/fig.yaml"
    resources:
        mem_mb=small_mb,
        runtime=small_minutes,
    params:
        code=fingerprint("fig.stages.adopt"),
        architecture=architecture_of,
        factory=factory_hash,
        size=lambda wildcards: size_of(wildcards.id_dataset),
        scaling=STUDY["scaling"],
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.adopt --train {input.train} --network {wildcards.network} --size {params.size}"
        " --architecture {params.architecture:q} --scaling {params.scaling} --seed {wildcards.seed}"
        " --checkpoint {input.checkpoint:q} --output {params.folder} 2> {log}"


rule retrain:
    input:
        train=train_split,
    output:
        model=f"{FOLDER}/model.safetensors",
        card=f"{FOLDER}/discriminator.json",
        history=f"{FOLDER}/history.csv",
        timing=f"{FOLDER}/timing.training.json",
    log:
        "results/{run}/logs/retrain/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=one_of(RETRAINED),
    priority: longest_first
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        **spread("training"),
        gpu=gpus_of("training"),
        mem_mb=training_mb,
        runtime=training_minutes,
        workers=resources_of("training"),
    params:
        code=code_of("retrain"),
        architecture=architecture_of,
        factory=factory_hash,
        scaling=STUDY["scaling"],
        settings=variant_settings,
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.retrain --train {input.train} --network {wildcards.network}"
        " --architecture {params.architecture:q} --scaling {params.scaling}"
        " --variant {wildcards.variant} --seed {wildcards.seed} --settings {params.settings:q}"
        " --output {params.folder} --checkpoints results/{wildcards.run}/checkpoints"
        " --resources {resources.workers:q} 2> {log}"


rule finetune:
    input:
        train=train_split,
        standard=f"{STANDARD}/model.safetensors",
    output:
        model=f"{FOLDER}/model.safetensors",
        card=f"{FOLDER}/discriminator.json",
        history=f"{FOLDER}/history.csv",
        timing=f"{FOLDER}/timing.training.json",
    log:
        "results/{run}/logs/finetune/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=one_of(FINETUNED),
    priority: longest_first
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        **spread("training"),
        gpu=gpus_of("training"),
        mem_mb=training_mb,
        runtime=training_minutes,
        workers=resources_of("training"),
    params:
        code=code_of("finetune"),
        settings=variant_settings,
        standard=subpath(input.standard, parent=True),
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.finetune --train {input.train} --standard {params.standard}"
        " --variant {wildcards.variant} --seed {wildcards.seed} --settings {params.settings:q}"
        " --output {params.folder} --checkpoints results/{wildcards.run}/checkpoints"
        " --resources {resources.workers:q} 2> {log}"


rule transfer:
    input:
        train=train_split,
        standard=f"{STANDARD}/model.safetensors",
        teacher=teacher_model,
    output:
        model=f"{FOLDER}/model.safetensors",
        card=f"{FOLDER}/discriminator.json",
        history=f"{FOLDER}/history.csv",
        timing=f"{FOLDER}/timing.training.json",
    log:
        "results/{run}/logs/transfer/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=one_of(TRANSFERRED),
    priority: longest_first
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        **spread("training"),
        gpu=gpus_of("training"),
        mem_mb=training_mb,
        runtime=training_minutes,
        workers=resources_of("training"),
    params:
        code=code_of("transfer"),
        settings=variant_settings,
        standard=subpath(input.standard, parent=True),
        teacher=subpath(input.teacher, parent=True),
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.transfer --train {input.train} --standard {params.standard} --teacher {params.teacher}"
        " --variant {wildcards.variant} --seed {wildcards.seed} --settings {params.settings:q}"
        " --output {params.folder} --checkpoints results/{wildcards.run}/checkpoints"
        " --resources {resources.workers:q} 2> {log}"
