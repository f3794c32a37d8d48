"""Export: a classifier with its OOD score and its verdict as one program, for ONNX Runtime and for PyTorch.

A program takes uint8 images (N, channels, h, w), scales them itself, and gives `logits` (N, classes), `confidence`
(N,), `score` (N,), higher = more in-distribution, and `accepted` (N,).
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from fig.detectors.baseline import log_odds
from fig.detectors.table import EnergySettings
from fig.discriminator import load, load_card
from fig.energy import confidence
from fig.extras import import_extra
from fig.files import partial_folder, put_in_place
from fig.intact import read_object, read_scores
from fig.metrics import threshold
from fig.scaling import SYMMETRIC, Scaling
from fig.seeding import generator
from fig.serving import EVALUATE, ID_ACCEPTANCE, ID_SCORES
from fig.settings import Json, read_settings, settings

SCORES = {"baseline": (), "energy": ("temperature",)}  # detectors that need logits alone, and their settings
DETECTOR = "detector.json"  # in a discriminator's folder: the Decision of `fig detect`
ONNX, PROGRAM = "model.onnx", "model.pt2"
OUTPUTS = ("logits", "confidence", "score", "accepted")
TOLERANCE = 1e-4  # of values up to 1 absolute, of larger ones relative
BATCHES = (1, 2, 7)
PROTOBUF = 2**31 - 2**20  # bytes that one ONNX file may have, less what the graph takes

Answers = Mapping[str, Tensor]
Shape = tuple[int, int, int]  # channels, h, w


@settings
class Decision:
    """Which images are accepted as in-distribution: those whose score reaches the threshold."""

    detector: str
    """The detector that gives the score: a name of SCORES."""
    threshold: float
    """The smallest score that is accepted."""
    id_acceptance: float = ID_ACCEPTANCE
    """Share of the ID images that the threshold accepts."""
    settings: dict[str, Json] = field(default_factory=dict)
    """The detector's: energy's temperature."""

    def __post_init__(self) -> None:
        if self.detector not in SCORES:
            what = f"exported are the scores of {' and '.join(SCORES)}, which logits alone give"
            raise ValueError(f"the detector is {self.detector}: {what}")
        if unknown := self.settings.keys() - SCORES[self.detector]:
            raise ValueError(f"{self.detector} has no {' and no '.join(sorted(unknown))} that could be exported")
        read_settings(EnergySettings, self.settings, f"settings of {self.detector}")

    @property
    def temperature(self) -> float:
        """Of energy."""
        temperature: float = self.settings.get("temperature", 1.0)
        return temperature

    def score(self, logits: Tensor) -> Tensor:
        """Scores (N,) of logits (N, classes), higher = more in-distribution."""
        if self.detector == "baseline":
            return log_odds(logits)
        return self.temperature * (logits / self.temperature).logsumexp(dim=1)


class Program(nn.Module):
    """What is exported: a copy of a network, on the CPU and in eval mode, between its scaling and its verdict."""

    mean: Tensor  # (channels or 1, 1, 1), of pixels from 0 to 255
    std: Tensor
    threshold: Tensor  # ()

    def __init__(self, network: nn.Module, scaling: Scaling, decision: Decision) -> None:
        super().__init__()
        own = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)  # which files are written in
        self.network = own.eval().requires_grad_(False)
        for name, numbers in (("mean", scaling.mean), ("std", scaling.std)):
            self.register_buffer(name, scaling.values(numbers, torch.empty(0)) * 255)
        self.register_buffer("threshold", torch.tensor(decision.threshold))
        self.decision = decision

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """OUTPUTS of uint8 images (N, channels, h, w)."""
        logits = self.network((images.float() - self.mean) / self.std)
        score = self.decision.score(logits)
        values = (logits, confidence(logits), score, score >= self.threshold)
        return dict(zip(OUTPUTS, values, strict=True))


@dataclass(frozen=True)
class Exported:
    """The files that were written, and how far at most they are from PyTorch on random images."""

    onnx: Path
    program: Path
    difference: float


def export_network(
    network: nn.Module,
    out: Path,
    shape: Shape,
    decision: Decision,
    scaling: Scaling = SYMMETRIC,
    about: Mapping[str, Json] | None = None,
) -> Exported:
    """Write `model.onnx` and `model.pt2` of a network of scaled images (channels, h, w) into the folder `out`.

    The network stays unchanged; `scaling` is the scaling of its input. Both files hold `about` and the decision as JSON
    under the name `fig`. Raises ValueError, before anything is written, if the network cannot be exported or the
    exported program differs from PyTorch.
    """
    for library in ("onnx", "onnxruntime", "onnxscript"):
        import_extra(library)
    program = Program(network, scaling, decision)
    notes = json.dumps({**(about or {}), **asdict(decision)})
    with partial_folder(out) as folder:
        write_programs(program, shape, notes, folder)
        loaded = {"ONNX Runtime": run_onnx(folder / ONNX), "torch.export": run_program(folder / PROGRAM)}
        difference = max(check_answers(name, run, program, shape) for name, run in loaded.items())
        for path in folder.iterdir():
            put_in_place(path, out / path.name)
    return Exported(out / ONNX, out / PROGRAM, difference)


def write_programs(program: Program, shape: Shape, notes: str, folder: Path) -> None:
    """Write both files; raises ValueError where PyTorch cannot trace the network, or ONNX has no such operator."""
    example = random_images(2, shape)
    try:
        traced = torch.export.export(program, (example,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})
        torch.export.save(traced, folder / PROGRAM, extra_files={"fig": notes})
        converted = torch.onnx.export(traced, input_names=["images"], output_names=OUTPUTS, dynamo=True, verbose=False)
        assert converted is not None  # without dynamo it would be
        converted.model.metadata_props["fig"] = notes
        weights = sum(value.nbytes for value in program.state_dict().values())
        converted.save(folder / ONNX, external_data=weights > PROTOBUF)
    except Exception as error:  # the tracer, the converter and the network raise many types
        reason = next(filter(None, (line.strip() for line in str(error).splitlines())), type(error).__name__)
        raise ValueError(f"the network cannot be exported: {reason}") from error


def random_images(count: int, shape: Shape) -> Tensor:
    """Seeded random images, uint8 (count, channels, h, w), each of another contrast."""
    source = generator(count, "export")
    noise = torch.rand(count, *shape, generator=source) * torch.rand(count, 1, 1, 1, generator=source)
    return (256 * noise).to(torch.uint8)


def run_onnx(path: Path) -> Callable[[Tensor], Answers]:
    """Return a function from images to the outputs of ONNX Runtime on the CPU."""
    runtime = import_extra("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Answers:
        values = map(torch.from_numpy, session.run(list(OUTPUTS), {"images": images.numpy()}))
        return dict(zip(OUTPUTS, values, strict=True))

    return run


def run_program(path: Path) -> Callable[[Tensor], Answers]:
    """Return a function from images to the outputs of the `torch.export` program in a file."""
    return torch.export.load(path).module()


def check_answers(name: str, run: Callable[[Tensor], Answers], program: Program, shape: Shape) -> float:
    """Return the largest difference from the program's outputs, over random images in batches of several sizes.

    Raises ValueError beyond TOLERANCE, or if a verdict differs although its score is not within it of the threshold.
    """
    largest = 0.0
    for count in BATCHES:
        images = random_images(count, shape)
        with torch.no_grad():
            expected, found = program(images), run(images)
        for output in ("logits", "confidence", "score"):
            difference = largest_difference(found[output], expected[output])
            if not difference <= TOLERANCE:
                raise ValueError(
                    f"{name} gives another {output} than PyTorch: {difference:.1g} apart on {count} random images, "
                    f"more than {TOLERANCE:g}; nothing was exported"
                )
            largest = max(largest, difference)
        decided = (expected["score"] - program.threshold).abs() > TOLERANCE * expected["score"].abs().clamp(min=1)
        if not (found["accepted"] == expected["accepted"])[decided].all():
            raise ValueError(f"{name} gives other verdicts than PyTorch on {count} images; nothing was exported")
    return largest


def largest_difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two tensors, relative where a value is above 1; NaN where one is not finite."""
    return float(((found - expected).abs() / expected.abs().clamp(min=1)).max())


def read_decision(folder: Path, id_acceptance: float | None = None) -> Decision:
    """The decision stored in a discriminator's folder, or one that accepts a share of its ID test images.

    Without a share it comes from `detector.json` or, if there is no such file, accepts 95 % by the baseline's scores.
    Raises ValueError if the folder has no threshold.
    """
    stored, scores = folder / DETECTOR, folder / ID_SCORES
    if stored.exists() and id_acceptance is None:
        known = read_object(stored, remedy="`fig detect` rebuilds it")
        names = (field.name for field in fields(Decision))
        return read_settings(Decision, {name: known[name] for name in names if name in known}, str(stored))
    if not scores.exists():
        what = f"neither {ID_SCORES}" if id_acceptance is None else f"no {ID_SCORES}"
        other = f" nor {DETECTOR}" if id_acceptance is None else ""
        raise ValueError(f"{folder} holds {what}{other}: `fig detect` or an evaluation gives it a threshold")
    share = ID_ACCEPTANCE if id_acceptance is None else id_acceptance
    return Decision("baseline", threshold(read_scores(scores, EVALUATE)["id"], share), share)


def export_folder(folder: Path, out: Path, id_acceptance: float | None = None, trust_factory: bool = False) -> Exported:
    """Export the discriminator in a folder, with the decision that `read_decision` finds there."""
    card, decision = load_card(folder), read_decision(folder, id_acceptance)
    about = {"id_dataset": card.id_dataset, "variant": card.variant, "seed": card.seed, "key": card.key}
    discriminator = load(folder, trust_factory)
    return export_network(discriminator.network, out, discriminator.shape, decision, card.architecture.scaling, about)
