"""What a configuration can say: each key's type, default, range and meaning. The defaults are the paper's settings."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Literal

from pydantic import Field

from fig.data.addresses import Mirror
from fig.data.catalogue import Datasets
from fig.settings import (
    ChainsSettings,
    EmbeddingSettings,
    EvaluationSettings,
    Finetuning,
    Json,
    Pretraining,
    Resources,
    SamplerSettings,
    ThroughputSettings,
    Whole,
    Width,
    settings,
)
from fig.study.selection import Study

STANDARD = "standard"  # the variant that pretraining makes; the others start from it
TRAININGS = {"pretraining": Pretraining, "finetuning": Finetuning}
LONGEST_NAME = 100  # characters of what becomes a folder
Stated = dict[str, Json]  # what a file states, not yet read


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the key and what is allowed."""


@settings
class Network:
    """A network in use: one that comes with the project, by its name, or your own."""

    width: Width = 1.0
    """Factor of the number of channels of every layer."""
    factory: Annotated[str, Field(pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$")] = ""
    """Function that makes your own network: package.module:function, importable from the working directory."""
    arguments: dict[str, Json] = Field(default_factory=dict)
    """Arguments of the factory."""
    checkpoint: str = ""
    """Weights (safetensors or a state dict); then `standard` is this network as it is. The path may have `{seed}`."""
    mean: tuple[float, float, float] | None = None
    """The scaling that your network expects of pixels in [0, 1]: (pixel - mean) / std."""
    std: tuple[float, float, float] | None = None
    """See `mean`."""
    taps: tuple[str, ...] = ()
    """Submodules whose outputs detectors look at; found automatically if not named."""

    def architecture(self) -> Stated:
        """What is stated of it, its checkpoint aside."""
        names = ("width", "factory", "arguments", "mean", "std", "taps")
        default = Network()
        return {name: value for name in names if (value := getattr(self, name)) != getattr(default, name)}

    def weights(self, id_dataset: str, seed: int) -> str:
        """The path of its checkpoint for an ID data set and a seed."""
        return self.checkpoint.replace("{id_dataset}", id_dataset).replace("{seed}", str(seed))


@settings
class Data:
    """Where downloads come from."""

    mirror: Mirror = ""
    """A base URL or a folder with `<source>/<file>` below it, instead of the publishers' servers."""
    accept_unknown_hashes: bool = False
    """Accept a file whose publisher states no hash; its hash is recorded in config/data.lock.yaml and checked later."""


@settings
class StageResources:
    """Workers by kind of job. Changing them reruns nothing."""

    preparation: Resources = Resources()
    """Preparation of data."""
    training: Resources = Resources()
    """Pretraining, fine-tuning, retraining."""
    evaluation: Resources = Resources()
    """Evaluation, throughput, embedding, chains."""


@settings(kw_only=True)
class Blocks:
    """The blocks of a configuration, but for data sets, variants, detectors and the methods' sections."""

    run: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_NAME)]
    """Name of the run: results go to results/<run>/, and MLflow's experiment has this name."""
    preset: str = "paper"
    """`paper` (the defaults) or `authors` (what the authors' published code does otherwise)."""
    seeds: Annotated[tuple[Whole, ...], Field(min_length=1)]
    """Each discriminator is made once for each seed."""
    networks: Annotated[dict[str, Network], Field(min_length=1)]
    """The networks in use, by name."""
    data: Data = Data()
    """Where downloads come from."""
    studies: Annotated[tuple[Study, ...], Field(min_length=1, max_length=1000)]
    """What is compared; each network, variant and seed on each ID data set is evaluated on the OOD sets."""
    pretraining: Pretraining = Pretraining()
    """The training from random weights."""
    finetuning: Finetuning = Finetuning()
    """The training of a standard discriminator by fig or gaussian."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How many images are scored."""
    throughput: ThroughputSettings = ThroughputSettings()
    """What `table5` measures."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    """What `fig4` shows."""
    chains: ChainsSettings = ChainsSettings()
    """What `fig5` shows."""
    scaling: Literal["symmetric", "standardised"] = "symmetric"
    """How images enter a network: in [-1, 1], or by the mean and standard deviation of the training pixels."""
    resources: StageResources = StageResources()
    """Workers, GPUs, cores and nodes of the jobs."""
    container: Annotated[str, Field(pattern="^[A-Za-z0-9._/:@+~=-]*$")] = ""
    """The image that `--sdm apptainer` runs jobs in: a file, or a URI such as docker://HOST/IMAGE:TAG."""


@settings
class Variant:
    """A named way to make discriminators: a method, and what differs from the configuration's settings."""

    method: str
    """Name of the method."""
    teacher: str = ""
    """Network, or network/variant, whose discriminator the sampler follows instead of the one in training."""
    base: str = ""
    """Variant whose discriminator is fine-tuned; empty: it begins with random weights."""
    differences: Mapping[str, Stated] = Field(default_factory=dict)
    """What differs from the configuration's settings, by section."""
    per_id_dataset: Mapping[str, Mapping[str, Stated]] = Field(default_factory=dict)
    """What else differs on one ID data set, by section."""


@settings(kw_only=True)
class Config(Blocks):
    """A whole configuration."""

    methods: Mapping[str, Json]
    """Settings of the methods, by section."""
    datasets: Datasets
    """The catalogue's data sets and the user's own, by name."""
    own_datasets: tuple[str, ...]
    """The names of the user's own."""
    detectors: Mapping[str, Stated]
    """The detectors, by name: each with what differs from its default settings."""
    variants: Mapping[str, Variant]
    """The variants other than `standard`, by name."""
    per_id_dataset: Mapping[str, Mapping[str, Stated]]
    """Settings of these sections that differ on one ID data set."""

    @property
    def sampler(self) -> SamplerSettings:
        """How FIG's samples are drawn unless a variant says otherwise."""
        found: SamplerSettings = self.methods["fig"].sampler
        return found


def merge(base: Mapping[str, Json], *differences: Mapping[str, Json]) -> Stated:
    """`base` with the differences put over it in turn; mappings are merged, anything else is replaced."""
    result = deepcopy(dict(base))
    for difference in differences:
        for name, value in difference.items():
            both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
            result[name] = merge(result[name], value) if both else deepcopy(value)
    return result
