"""Discriminators on the Hugging Face hub, and in folders of its form: our own two files, with a model card."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fig.discriminator import Card, Discriminator, load, load_card, save
from fig.extras import import_extra
from fig.files import replacing
from fig.model_card import Result, read_results, write_text

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard, ModelHubMixin

WEIGHTS, ARCHITECTURE = "model.safetensors", "discriminator.json"
EVALUATION = ("metrics.csv", "scores/baseline.npz", "detector.json")  # copied if they belong to these weights
NAMES = {"auroc": "AUROC", "fpr95_id_positive": "FPR95", "accuracy": "Accuracy", "calibration_error": "ECE"}


def build_mixin(discriminator: Discriminator) -> "ModelHubMixin":
    """Wrap the discriminator for huggingface_hub to save and push; raises ModuleNotFoundError that names the extra."""
    import_extra("huggingface_hub")
    from huggingface_hub import ModelHubMixin

    class Pretrained(ModelHubMixin):
        saved: Path

        def _save_pretrained(self, save_directory: Path) -> None:
            self.saved = save_directory
            write_files(discriminator, save_directory)

        def generate_model_card(self, *, repository: str = "") -> "ModelCard":
            return build_card(self.saved, repository or self.saved.name)

    return Pretrained()


def write_files(discriminator: Discriminator, folder: Path) -> None:
    """Write weights and card into a folder, and the evaluation if it belongs to these weights."""
    origin = discriminator.origin
    card = load_card(origin) if origin else Card(discriminator.architecture, "", "", 0, "")
    evaluated = hash_of(origin / WEIGHTS) if origin else ""  # before that folder may be written into
    save(folder, discriminator, card)
    digest = hash_of(folder / WEIGHTS)
    if origin and evaluated == digest:
        for name in EVALUATION:
            if (origin / name).exists() and (origin / name).resolve() != (folder / name).resolve():
                with replacing(folder / name) as partial:
                    shutil.copyfile(origin / name, partial)
    else:
        save(folder, discriminator, replace(card, key=digest[:16]))


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build_card(folder: Path, repository: str) -> "ModelCard":
    """The model card of a discriminator's folder, with metadata that the hub reads."""
    from huggingface_hub import ModelCard, ModelCardData

    card = load_card(folder)
    results = read_results(folder, card)
    tags = ["fig", "out-of-distribution-detection", card.architecture.network, card.variant]
    data = ModelCardData(
        library_name="fig-ood",
        pipeline_tag="image-classification",
        tags=[tag for tag in dict.fromkeys(tags) if tag],
        datasets=[card.id_dataset] if card.id_dataset else None,
        metrics=list(dict.fromkeys(result.metric for result in results)) or None,
        model_name=repository if results else None,
        eval_results=[evaluation_of(result) for result in results] or None,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{write_text(card, results, repository)}")


def evaluation_of(result: Result) -> "EvalResult":
    """A result as huggingface_hub has it, in the form model-index."""
    from huggingface_hub import EvalResult

    ood = bool(result.detector)
    return EvalResult(
        task_type="out-of-distribution-detection" if ood else "image-classification",
        dataset_type=result.data,
        dataset_name=result.data,
        metric_type=result.metric,
        metric_value=result.value,
        metric_name=f"{NAMES[result.metric]} ({result.detector})" if ood else NAMES[result.metric],
    )


def save_pretrained(discriminator: Discriminator, folder: Path) -> None:
    """Write weights, card, evaluation and README.md into a folder, which `from_pretrained` reads."""
    (folder / "README.md").unlink(missing_ok=True)  # which huggingface_hub would keep
    build_mixin(discriminator).save_pretrained(folder)


def push(discriminator: Discriminator, repository: str, options: Mapping[str, object]) -> str:
    """Push what `save_pretrained` writes to a repository of the hub, created if missing; return the commit's URL."""
    made = build_mixin(discriminator)
    named = {"model_card_kwargs": {"repository": repository}}
    return str(made.push_to_hub(repository, **{**named, **options}))  # type: ignore[arg-type]  # the hub checks them


def pull(name: str, options: Mapping[str, object], trust_factory: bool = False) -> Discriminator:
    """Load the discriminator in a folder or in a repository of the hub, in eval mode; only a trusted factory runs."""
    folder = name
    if not Path(name).is_dir():
        hub = import_extra("huggingface_hub")
        folder = hub.snapshot_download(name, allow_patterns=[WEIGHTS, ARCHITECTURE, *EVALUATION], **options)
    return load(Path(folder), trust_factory).eval()
