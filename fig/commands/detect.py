"""fig detect: judge images with a discriminator, without the pipeline."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Path as Exists

from fig.commands.answers import Answer
from fig.commands.options import Acceptance, Folder, TrustFactory, is_trusted, parse_json, prepare_images

IMAGES = Exists(exists=True)


def detect(
    discriminator: Folder,
    id_images: Annotated[
        Path, Parameter(validator=IMAGES, help="Folder or archive of class folders, or a prepared split (.npy).")
    ],
    /,
    *images: Annotated[Path, Parameter(validator=IMAGES, help="Folders or archives of images to be judged.")],
    out: Annotated[Path, Parameter(help="CSV of scores and verdicts, to be written.")] = Path("verdicts.csv"),
    detector: Annotated[str, Parameter(help="A detector's name, or a class of pytorch-ood.")] = "energy",
    id_acceptance: Acceptance = 0.95,
    settings: Annotated[str, Parameter(help="Settings of the detector, as JSON.")] = "{}",
    trust_factory: TrustFactory = False,
) -> Answer:
    """Fit a detector to ID images, choose its threshold on them, and judge other images.

    The threshold is saved in the discriminator's folder, as detector.json. The higher an image's score, the more
    in-distribution it is.

    Example:
        fig detect patched data/pets/train holidays/ --out verdicts.csv

    """
    import csv
    import json
    from tempfile import TemporaryDirectory

    from fig import parallel
    from fig.data.arrays import open_split
    from fig.detecting import detect as fit
    from fig.discriminator import load
    from fig.files import replacing

    loaded = load(discriminator, is_trusted(discriminator, trust_factory)).to(parallel.own_device())
    size, scaling = loaded.architecture.size, loaded.architecture.scaling
    stated = parse_json(settings, "--settings")
    with TemporaryDirectory() as scratch:
        known = open_split(prepare_images(id_images.resolve(), Path(scratch), size))
        judge = fit(
            loaded.network, known, detector=detector, settings=stated, scaling=scaling, id_acceptance=id_acceptance
        )
        rows, shares = [], {}
        for place in images:
            split = open_split(prepare_images(place.resolve(), Path(scratch), size, labelled=False))
            scores = judge.score(split, progress=True)
            accepted = scores >= judge.threshold
            rows += [
                (str(place), number, score, verdict)
                for number, (score, verdict) in enumerate(zip(scores.tolist(), accepted.tolist(), strict=True))
            ]
            shares[str(place)] = {"images": len(scores), "accepted": float(accepted.mean())}
            print(f"{place}: {accepted.mean():.1%} of {len(scores)} images are taken for in-distribution.")
    with replacing(discriminator / "detector.json") as partial:
        kept = {name: getattr(judge, name) for name in ("detector", "settings", "threshold", "id_acceptance")}
        partial.write_text(json.dumps(kept) + "\n")
    print(f"The threshold is {judge.threshold:.4f}; it accepts {id_acceptance:.0%} of the ID images.")
    if rows:
        with replacing(out) as partial, partial.open("w", newline="") as file:
            csv.writer(file).writerows([("images", "number", "score", "accepted"), *rows])
        print(f"Scores and verdicts are in {out}.")
    return {**kept, "judged": shares, "verdicts": out if rows else None}
