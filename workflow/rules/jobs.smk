"""The job of each rule, from the configuration and the rule's wildcards.

Files are named here by wildcards too: Snakemake reruns nothing for params that it derives from a rule's files.
"""


def download_job(wildcards):
    file = DOWNLOADS[wildcards.source, wildcards.file]
    return Download(
        file=file, output="data/downloads/{source}/{file}".format(**wildcards)
    )


def download_options():
    """Where downloads come from: how they came changes nothing about them, so it reruns nothing."""
    stated = CONFIG.data
    mirror = [f"--mirror {quote(stated.mirror)}"] if stated.mirror else []
    return " ".join(mirror + ["--accept-unknown-hashes"] * stated.accept_unknown_hashes)


def files_to_prepare(wildcards):
    return files_of(wildcards.dataset, wildcards.split, CONFIG.datasets)


def training_split_of_test(wildcards):
    """An ID test split is prepared next to its training split: same classes, no image in both."""
    found = CONFIG.datasets.get(wildcards.dataset)
    is_test = isinstance(found, IdDataset) and wildcards.split == "test"
    return [f"data/{wildcards.size}/{wildcards.dataset}/train.npy"] * is_test


def prepare_job(wildcards):
    dataset, split, size = wildcards.dataset, wildcards.split, int(wildcards.size)
    own = source_of(dataset, CONFIG.datasets) in CONFIG.own_datasets
    return Prepare(
        files=tuple(files_to_prepare(wildcards)),
        train=next(iter(training_split_of_test(wildcards)), None),
        recipe=recipe(dataset, split, size, CONFIG.datasets, own),
        output=f"data/{size}/{dataset}/{split}.npy",
    )


@cache
def resolve(variant, id_dataset):
    return resolve_recipe(CONFIG, variant, id_dataset)


def recipe_for(wildcards, variant):
    """What a training needs to know of its variant: method, settings that differ, training, augmentation."""
    found = resolve(variant, wildcards.id_dataset)
    return {
        "variant": variant,
        "seed": int(wildcards.seed),
        "method": found.method,
        "settings": found.stated_settings(),
        "training": found.training,
        "augmentation": found.augmentation,
    }


def network_for(wildcards):
    """What a training of a new network needs to know of it."""
    return {
        "network": wildcards.network,
        "architecture": CONFIG.networks[wildcards.network].architecture(),
        "scaling": CONFIG.scaling,
    }


def places(wildcards, folder):
    return {
        "train": train_split(wildcards),
        "output": folder.format(**wildcards),
        "checkpoints": f"{RUN}/checkpoints",
    }


def pretrain_job(wildcards):
    recipe = recipe_for(wildcards, "standard")
    return Pretrain(**places(wildcards, STANDARD), **network_for(wildcards), **recipe)


def adopt_job(wildcards):
    return Adopt(
        train=train_split(wildcards),
        weights=weights_of(wildcards),
        size=CONFIG.datasets[wildcards.id_dataset].size,
        seed=int(wildcards.seed),
        output=STANDARD.format(**wildcards),
        **network_for(wildcards),
    )


def retrain_job(wildcards):
    recipe = recipe_for(wildcards, wildcards.variant)
    return Retrain(**places(wildcards, FOLDER), **network_for(wildcards), **recipe)


def finetune_job(wildcards):
    recipe = recipe_for(wildcards, wildcards.variant)
    base = folder_of(base_of(wildcards))
    return Finetune(standard=base, **places(wildcards, FOLDER), **recipe)


def transfer_job(wildcards):
    return Transfer(
        standard=folder_of(base_of(wildcards)),
        teacher=folder_of(teacher_of(wildcards)),
        **places(wildcards, FOLDER),
        **recipe_for(wildcards, wildcards.variant),
    )


def weights_of(wildcards):
    network = CONFIG.networks[wildcards.network]
    return network.weights(wildcards.id_dataset, int(wildcards.seed))


def model_of(wildcards, **others):
    """The weights of a discriminator of this seed, with other names than the wildcards'."""
    return f"{FOLDER}/model.safetensors".format(**dict(wildcards.items()) | others)


def base_of(wildcards):
    return model_of(wildcards, variant=CONFIG.variants[wildcards.variant].base)


def teacher_of(wildcards):
    network, variant = split_teacher(CONFIG.variants[wildcards.variant])
    return model_of(wildcards, network=network, variant=variant)


def discriminator(folder):
    """The files of a discriminator."""
    return {
        "model": f"{folder}/model.safetensors",
        "card": f"{folder}/discriminator.json",
        "history": f"{folder}/history.csv",
        "record": f"{folder}/training.record.json",
    }


ADOPTED = [name for name, network in CONFIG.networks.items() if network.checkpoint]


def discriminator_of(wildcards):
    return DISCRIMINATORS["{id_dataset}/{network}/{variant}/{seed}".format(**wildcards)]


def ood_splits(wildcards):
    found = discriminator_of(wildcards)
    return [prepared(wildcards, name, "test") for name in found.ood_datasets]


def evaluate_job(wildcards):
    found = discriminator_of(wildcards)
    return Evaluate(
        discriminator=FOLDER.format(**wildcards),
        train=train_split(wildcards),
        test=test_split(wildcards),
        ood=tuple(ood_splits(wildcards)),
        detectors={name: CONFIG.detectors[name] for name in found.detectors},
        sampler=CONFIG.sampler,
        settings=CONFIG.evaluation,
    )


def throughput_job(wildcards):
    place = {"variant": "standard", "seed": FIRST_SEED}
    return Throughput(
        discriminator=FOLDER.format(**wildcards, **place),
        settings=CONFIG.throughput,
        sampler=CONFIG.sampler,
        output=f"{RUN}/throughput/{wildcards.id_dataset}/{wildcards.network}.json",
    )


def embedding_job(wildcards):
    return Embedding(
        discriminator=FOLDER.format(**wildcards),
        test=test_split(wildcards),
        settings=CONFIG.embedding,
        sampler=CONFIG.sampler,
    )


def chains_job(wildcards):
    wanted = CONFIG.chains.wanted.items()
    own = {name: value for name, value in wanted if name == wildcards.id_dataset}
    return Chains(
        discriminator=FOLDER.format(**wildcards),
        test=test_split(wildcards),
        settings=replace(CONFIG.chains, wanted=own),
        sampler=CONFIG.sampler,
    )


def metrics_job(wildcards):
    return Metrics(selection=EVERYTHING, folder=RUN)


def report_job(wildcards):
    return Report(
        selection=EVERYTHING,
        targets=tuple(target.name for target in planned_targets(CONFIG)),
        data=tuple(f"{split}.json" for split in list_splits(CONFIG)),
        folder=RUN,
    )


def report_options():
    """What the page says of how it was made, as options of a command: they change no number, so they rerun nothing."""
    return f"--configuration {quote(STATED_AS)} " + " ".join(
        f"--parents {RUN}/discriminators/{found.path}/training.record.json"
        for found in list_parents(CONFIG)
    )
