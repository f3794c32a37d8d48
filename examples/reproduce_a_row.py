"""Reproduce one row of a table of the paper through the pipeline, at toy scale.

python examples/reproduce_a_row.py [--out FOLDER]

Needs the extra `pipeline`.
"""

# %% The study: digits against photographs, one seed, a ResNet18 of an eighth of the channels, short trainings
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pandas as pd

from fig.report.paper import read_by_method

parser = ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("row"), help="folder for data and results")
out = parser.parse_known_args()[0].out  # a notebook has arguments of its own
out.mkdir(parents=True, exist_ok=True)
(out / "toy.yaml").write_text("""
run: toy
preset: paper
seeds: [0]
networks:
  resnet18: {width: 0.125}
studies:
  - id_datasets: [digits]
    ood_datasets: [photos-r-antialias, photos-c]
    networks: [resnet18]
    variants: [standard, fig]
    targets: [table2, fig3]
variants:
  fig: {method: fig}
detectors: {baseline: {}}
pretraining: {epochs: 4, batch_size: 64}
finetuning: {iterations: 200, batch_size: 64}
evaluation: {images: 200}
resources:
  training: {workers: 0}
  evaluation: {workers: 0}
""")

# %% Run it: Snakemake prepares data, trains, fine-tunes, evaluates and writes the table; what is up to date stays
command = [sys.executable, "-m", "fig", "run", "toy.yaml"]  # `fig run toy.yaml`; all targets of the study
with (out / "log.txt").open("w") as log:
    subprocess.run(command, cwd=out, stdout=log, stderr=subprocess.STDOUT, check=True)

# %% The row that averages over OOD sets, and what the paper prints for a whole ResNet18 on its smallest data sets
ours = pd.read_csv(out / "results/toy/tables/table2.csv").rename(columns={"mean": "auroc"})
theirs = read_by_method().query("network == 'resnet18' and id_dataset in ('SVHN', 'CIFAR10')")
table = pd.concat([ours, theirs.rename(columns={"paper": "auroc"})]).query("ood_dataset == 'average'")
row = 100 * table.pivot(index="id_dataset", columns="column", values="auroc")[["standard", "fig"]]
row["is"] = ["measured" if name == "digits" else "printed" for name in row.index]
print("AUROC of the baseline, per cent, averaged over OOD sets. Toy scale: other images, networks and lengths")
print("than the paper's, so only the sign of the difference can be compared.")
print(row.round(1).to_string())
confidence = pd.read_csv(out / "results/toy/figures/fig3.csv")["generated_confidence"]
print(f"confidence on low-entropy samples: {confidence.iloc[0]:.2f} at first, {confidence.iloc[-1]:.2f} in the end")
print(f"picture: {out / 'results/toy/figures/fig3.png'}")
