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
        "logs/{run}/pretrain/{id_dataset}/{network}/standard/{seed}.log",
    priority: 10  # whatever waits for a training waits longest
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        gpu=gpus_of("training"),
        workers=resources_of("training"),
    params:
        code=fingerprint("fig.stages.pretrain"),
        width=width_of,
        scaling=STUDY["scaling"],
        training=as_json(STUDY["pretraining"]),
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.pretrain --train {input.train} --network {wildcards.network} --width {params.width}"
        " --scaling {params.scaling} --seed {wildcards.seed} --training {params.training:q}"
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
        "logs/{run}/finetune/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=one_of(FINETUNED),
    priority: 10  # whatever waits for a training waits longest
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        gpu=gpus_of("training"),
        workers=resources_of("training"),
    params:
        code=fingerprint("fig.stages.finetune"),
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
        "logs/{run}/transfer/{id_dataset}/{network}/{variant}/{seed}.log",
    wildcard_constraints:
        variant=one_of(TRANSFERRED),
    priority: 10  # whatever waits for a training waits longest
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("training")
    resources:
        gpu=gpus_of("training"),
        workers=resources_of("training"),
    params:
        code=fingerprint("fig.stages.transfer"),
        settings=variant_settings,
        standard=subpath(input.standard, parent=True),
        teacher=subpath(input.teacher, parent=True),
        folder=subpath(output.model, parent=True),
    shell:
        "python -m fig.stages.transfer --train {input.train} --standard {params.standard} --teacher {params.teacher}"
        " --variant {wildcards.variant} --seed {wildcards.seed} --settings {params.settings:q}"
        " --output {params.folder} --checkpoints results/{wildcards.run}/checkpoints"
        " --resources {resources.workers:q} 2> {log}"
