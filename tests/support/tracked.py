"""Discriminators for MLflow: as much of a folder as it mirrors."""

import json
from pathlib import Path

from fig.runtime.record import Origin, Record, Times


def discriminator(results: Path, seed: int, run: str = "tiny") -> Path:
    """The folder of a discriminator, as much of it as MLflow mirrors."""
    folder = results / run / "discriminators" / "digits" / "resnet18" / "fig" / str(seed)
    folder.mkdir(parents=True)
    card = {"key": f"{run}-{seed}", "id_dataset": "digits", "variant": "fig", "seed": seed}
    card |= {"architecture": {"network": "resnet18", "classes": 2, "width": 1.0}, "settings": {"method": {"K": 0.1}}}
    (folder / "discriminator.json").write_text(json.dumps(card))
    (folder / "history.csv").write_text("iteration,time,loss\n5,100.5,1\n10,101.5,0.5\n")
    row = f"{card['key']},auroc,baseline,,photos-c,0.9"
    (folder / "metrics.csv").write_text(f"key,metric,detector,protocol,ood_dataset,value\n{row}\n")
    inputs = {f"data/32/{name}.npy": name[0] * 64 for name in ("digits/train", "digits/test", "photos-c/test")}
    Record(Origin("evaluate", "code", {}, inputs), "command", {}, Times()).write(folder / "evaluation.record.json")
    return folder
