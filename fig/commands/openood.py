"""fig openood: discriminators, scores and results in OpenOOD's formats."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fig.commands.answers import Answer
from fig.commands.options import ConfigFile, Folder, check_folders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fig.discriminator import Card, Discriminator
    from fig.openood import Results
    from fig.study import Config, Study

    Classes = NDArray[np.int64]


def openood(
    *discriminators: Folder,
    out: Annotated[Path, Parameter(help="Folder to be written.")],
    study: Annotated[
        ConfigFile | None,
        Parameter(help="The study's configuration; its groups of OOD sets are OpenOOD's near and far ones."),
    ] = None,
) -> Answer:
    r"""Write checkpoints that OpenOOD's ResNet18_32x32 loads and, with --study, scores and results.

    In <out>/<data>_<network>_<variant>, s<seed>/best.ckpt are the weights, s<seed>/normalization.json the mean and std
    of the inputs, s<seed>/<postprocessor>/scores/<data set>.npz and ood.csv what OpenOOD's evaluator writes, and
    ood/<postprocessor>.csv means over the seeds.

    Example:
        fig openood \
          results/openood/discriminators/cifar10-openood/resnet18/fig/* \
          --study config/openood.yaml --out openood

    """
    from fig import parallel
    from fig.discriminator import load, load_card
    from fig.openood import check_layout, write_checkpoint, write_means
    from fig.study import read_config

    check_folders(discriminators, "openood")
    config = read_config([study]) if study else None
    checkpoints: list[Path] = []
    runs: dict[Path, list[Results]] = {}
    for folder in discriminators:
        card = load_card(folder)
        check_layout(card.architecture)
        place = out / f"{card.id_dataset}_{card.architecture.network}_{card.variant}"
        loaded = load(folder).to(parallel.own_device())
        write_checkpoint(place / f"s{card.seed}", loaded)
        for name, results in write_scored(folder, card, loaded, config, place / f"s{card.seed}") if config else ():
            runs.setdefault(place / "ood" / f"{name}.csv", []).append(results)
        checkpoints.append(place / f"s{card.seed}")
        print(checkpoints[-1], flush=True)
    for path, found in runs.items():
        write_means(path, found)
        print(path)
    return {"checkpoints": checkpoints, "means": list(runs)}


def write_scored(
    folder: Path, card: "Card", loaded: "Discriminator", config: "Config", out: Path
) -> "Iterator[tuple[str, Results]]":
    """Write the scores and results of a discriminator under each detector of its study, and give the results."""
    from fig.intact import read_scores
    from fig.openood import POSTPROCESSORS, Scored, measure_groups, write_results, write_scores
    from fig.report.results import is_evaluated, remedy_of

    if not is_evaluated(folder):
        raise ValueError(f"{folder} has no metrics of its present weights: evaluate it")
    study = find_study(config, card)
    names = name_sets(config, card.id_dataset, study)
    paths = {detector: folder / "scores" / f"{detector}.npz" for detector in study.detectors}
    held = {detector: read_scores(path, remedy_of(path)) for detector, path in paths.items()}
    images = next(iter(held.values()))
    if lacking := [name for name in names if name != card.id_dataset and name not in images]:
        raise ValueError(f"{folder} has no scores of {lacking[0]}: evaluate it again")
    predictions = {
        name: predict(loaded, name, len(images["id" if name == card.id_dataset else name]), name == card.id_dataset)
        for name in names
    }
    groups = {group: [names[name] for name in sets] for group, sets in study.groups.items()}
    for detector, scores in held.items():
        scores[card.id_dataset] = scores.pop("id")
        scored = {title: Scored(scores[name], *predictions[name]) for name, title in names.items()}
        results = measure_groups(scored[names[card.id_dataset]], scored, groups)
        postprocessor = POSTPROCESSORS.get(detector, detector)
        write_scores(out / postprocessor / "scores", scored)
        write_results(out / postprocessor / "ood.csv", results)
        yield postprocessor, results


def find_study(config: "Config", card: "Card") -> "Study":
    """Find the study with groups that shows a discriminator; raises ValueError if there is no such study."""
    names = card.id_dataset, card.architecture.network, card.variant
    found = next((study for study in config.studies if study.groups and names in study.names()), None)
    if found is None:
        raise ValueError(f"no study of {config.run} has groups of OOD sets and shows {'/'.join(names)}")
    return found


def name_sets(config: "Config", id_dataset: str, study: "Study") -> dict[str, str]:
    """Return titles of the ID data set and of the OOD sets in groups, or their names if two titles are the same."""
    from fig.data.catalogue import source_of

    names = dict.fromkeys([id_dataset, *(name for sets in study.groups.values() for name in sets)])
    titles = {name: config.datasets[source_of(name, config.datasets)].title or name for name in names}
    return titles if len(set(titles.values())) == len(titles) else {name: name for name in titles}


def predict(loaded: "Discriminator", name: str, count: int, inside: bool) -> tuple["Classes", "Classes"]:
    """Predicted and true classes of the `count` test images that were scored; OOD images have no class."""
    import numpy as np

    from fig.data.arrays import open_split
    from fig.evaluation import score_split
    from fig.frozen import frozen
    from fig.openood import OOD_LABEL
    from fig.settings import EvaluationSettings

    data = open_split(Path(f"data/{loaded.architecture.size}/{name}/test.npy"))
    with frozen(loaded):
        found = score_split({}, {}, loaded, data, EvaluationSettings(images=count))
    labels = data.labels[found.rows.numpy()] if inside else np.full(count, OOD_LABEL)
    return found.logits.argmax(dim=1).numpy(), labels
