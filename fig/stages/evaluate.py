"""Rule evaluate: a discriminator's scores and metrics under all its detectors, and its low-entropy samples."""

from pathlib import Path
from typing import ClassVar

from fig.detectors.table import complete_entry, module_of_detector
from fig.runtime.job import Input, JsonSetting, Role, Setting, plain, run_stage
from fig.settings import EvaluationSettings, Json, settings
from fig.stages.support.looking import Looking


@settings(kw_only=True)
class Evaluate(Looking):
    """Evaluate a discriminator with all its detectors on all its OOD sets.

    Example: python -m fig.stages.evaluate --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --train data/32/digits/train.npy --test data/32/digits/test.npy --ood data/32/photos-c/test.npy
    --detectors '{"baseline": {}}'
    """

    work: ClassVar[str] = "fig.stages.support.scoring:evaluate_on_this_worker"
    record_name: ClassVar[str] = "evaluation.record.json"

    train: Input[Path]
    """Prepared training split of the ID data set, to which detectors are fitted."""
    test: Input[Path]
    """Prepared test split of the ID data set."""
    ood: Input[tuple[Path, ...]]
    """A prepared OOD set; repeatable."""
    detectors: JsonSetting[dict[str, dict[str, Json]]]
    """The detectors by name, each with what differs from its default settings, as JSON."""
    settings: Setting[EvaluationSettings] = EvaluationSettings()
    """How many images are scored."""

    def modules(self) -> tuple[str, ...]:
        """The modules of the detectors."""
        return tuple(sorted({module_of_detector(name, own) for name, own in self.detectors.items()}))

    def values(self, role: Role) -> dict[str, Json]:
        """The fields of a role as JSON has them, the detectors' settings complete."""
        found = super().values(role)
        if role is Role.SETTING:
            found["detectors"] = plain({name: complete_entry(name, own) for name, own in self.detectors.items()})
        return found

    def publish(self) -> None:
        """Mirror the evaluation in MLflow."""
        from fig.runtime.tracking import try_to_mirror

        try_to_mirror(self.discriminator)


if __name__ == "__main__":
    run_stage(__spec__.name)
