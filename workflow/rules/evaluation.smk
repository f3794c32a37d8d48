# One job scores a discriminator with all detectors on all its OOD sets: a job is worth starting.


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
        timing=f"{FOLDER}/timing.evaluation.json",
    log:
        "results/{run}/logs/evaluate/{id_dataset}/{network}/{variant}/{seed}.log",
    conda:
        "../../envs/fig.yaml"
    threads: cpus_of("evaluation")
    resources:
        **spread("evaluation"),
        gpu=gpus_of("evaluation"),
        mem_mb=evaluation_mb,
        runtime=evaluation_minutes,
        workers=resources_of("evaluation"),
    params:
        code=fingerprint("fig.stages.evaluate"),
        sampler=as_json(STUDY["fig"]["sampler"]),
        folder=subpath(input.model, parent=True),
        detectors=detectors_stated,
        settings=as_json(STUDY["evaluation"]),
        ood=lambda wildcards, input: " ".join(f"--ood {path}" for path in input.ood),
    shell:
        "python -m fig.stages.evaluate --discriminator {params.folder} --train {input.train}"
        " --test {input.test} {params.ood} --detectors {params.detectors:q} --sampler {params.sampler:q}"
        " --settings {params.settings:q} --resources {resources.workers:q} 2> {log}"
