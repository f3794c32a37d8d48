# The FIG study: data -> pretraining -> fine-tuning and transfer -> evaluation -> tables, figures, report.
# `snakemake --profile local` runs config/demo.yaml, `snakemake --profile slurm` runs config/paper.yaml.

from snakemake.utils import min_version

min_version("9.9")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/jobs.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"{RUN}/report.html",


onstart:  # but not for a dry run
    lock_run()
    lead_jobs()


onerror:  # with gaps where jobs failed
    shell("python -m fig report {STATED_AS} || true")
