"""Settings: frozen dataclasses whose fields say their type, range, default and meaning once, and how they are read.

Nothing here computes a result. What a job is given is written into its record, so this module is in no fingerprint.
"""

import difflib
import json
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, field, fields, is_dataclass
from functools import cache, wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, cast, dataclass_transform, overload

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Json = Any  # a value from YAML or JSON, or on its way there: its reader checks it
Annotation = Any  # a type as `typing.get_type_hints` gives it: a class, or one of typing's own forms

T = TypeVar("T")
P = ParamSpec("P")

Maker = Callable[..., T]  # a class or function that is loaded by its name, with its arguments

CHECKS = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, arbitrary_types_allowed=True)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=2**32 - 1)]  # the largest seed of NumPy's; no count of ours comes near
Whole = Annotated[int, Field(ge=0, le=2**32 - 1)]
Side = Annotated[int, Field(ge=1, le=10_000)]  # pixels
Border = Annotated[int, Field(ge=0, le=10_000)]  # pixels
Width = Annotated[float, Field(gt=0, le=100)]  # a factor of the width of layers
Title = Annotated[str, Field(pattern=r"^[^$\\\x00-\x1f\x7f]*$", max_length=100)]  # figures read $ and \ as mathematics
Precision = Literal["float32", "tf32", "float16", "bfloat16"]


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(Field, field))
def settings(cls: type[T]) -> type[T]:
    """Make the class that it decorates one of settings."""


@overload
def settings(*, kw_only: bool) -> Callable[[type[T]], type[T]]:
    """Make what decorates a class of settings."""


def settings(cls: type[T] | None = None, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass that checks the types and ranges of its fields when it is built.

    Building it raises ValueError, in one sentence, for the first field that is wrong.
    """

    def decorate(cls: type[T]) -> type[T]:
        built = cast(type[T], dataclass(cls, frozen=True, kw_only=kw_only, config=CHECKS))  # pydantic forgets the type
        built.__init__ = explain_errors(built.__init__, built)  # type: ignore[method-assign]  # the class is new
        return built

    return decorate if cls is None else decorate(cls)


def explain_errors(init: Callable[..., None], cls: type) -> Callable[..., None]:
    """An `__init__` whose errors are one sentence."""

    @wraps(init)
    def initialise(self: object, *values: object, **named: object) -> None:
        try:
            init(self, *values, **named)
        except ValidationError as error:
            raise ValueError(explain(error, "", cls)) from None

    return initialise


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """`functools.cache` that keeps the types of the arguments, which may be classes."""
    return cast(Callable[P, T], cache(function))  # the standard library's own type forgets them


@cached
def adapter_of(cls: type[T]) -> TypeAdapter[T]:
    """What validates values of a type."""
    return TypeAdapter(cls)


def read_settings(cls: type[T], values: object, where: str) -> T:
    """An instance of a settings class from what a file or a command line states; `where` names it in an error.

    A text is no number. Raises ValueError, in one sentence that says what is wrong, where and what is allowed.
    """
    if isinstance(values, cls):
        return values
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} is {shorten(values)}: it must be a mapping of keys to values")
    try:
        return adapter_of(cls).validate_json(json.dumps(values, default=as_json), strict=True)
    except ValidationError as error:
        raise ValueError(explain(error, where, cls)) from None


def as_json(value: object) -> Json:
    """What JSON knows for a value that it does not know."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def flatten(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Nested values by dotted names: {"fig": {"K": 0.1}} -> ("fig.K", 0.1); empty ones are left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif value not in (None, "", [], ()):
            yield f"{prefix}{name}", value


KINDS = {  # what a value must be, by the beginning of pydantic's name for the error
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "dataclass": "a mapping of keys to values",
    "path": "a path",
}
LIMITS = {
    "greater_than": "above {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than": "below {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "finite_number": "a finite number",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "of the form {pattern}",
    "string_too_long": "a text of at most {max_length} characters",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}


def explain(error: ValidationError, where: str, cls: type | None = None) -> str:
    """The first complaint of pydantic's as a sentence that names the key and what is allowed."""
    first = error.errors(include_url=False)[0]
    place, kind, value = first["loc"], first["type"], first.get("input")
    key = join_keys(where, place)
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        allowed = [field.name for field in fields(class_at(cls, place[:-1]))] if cls else []
        return f"{key}: unknown key{suggest(str(place[-1]), allowed)}"
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{key} is missing"
    if kind == "value_error":
        return f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    if kind in LIMITS:
        return f"{key} is {shorten(value)}: it must be {LIMITS[kind].format(**first.get('ctx', {}))}"
    wanted = next((text for begin, text in KINDS.items() if kind.startswith(begin)), "")
    if wanted and isinstance(value, str) and wanted.endswith("number") and is_exponential(value):
        return f"{key} is the text {value!r}, for YAML wants a dot in it: write {float(value):.1e}"
    return f"{key} is {shorten(value)}: it must be {wanted}" if wanted else f"{key}: {first['msg']}"


def is_exponential(text: str) -> bool:
    """Whether a text is a number with an exponent, which YAML reads as one only with a dot and a sign."""
    try:
        float(text)
    except ValueError:
        return False
    return "e" in text.lower()


def shorten(value: object) -> str:
    """A value as text, cut where it is long."""
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}…"


def join_keys(where: str, place: Iterable[str | int]) -> str:
    """A key as people write it: studies[0].variants."""
    for word in place:
        where = f"{where}[{word}]" if isinstance(word, int) else f"{where}.{word}" if where else str(word)
    return where


def suggest(name: str, allowed: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: the nearest that is known, and all of them."""
    near = difflib.get_close_matches(name, allowed, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{hint}. Available: {', '.join(allowed)}" if allowed else hint


def class_at(cls: object, place: Sequence[str | int]) -> Annotation:
    """The type of what is at a place within a settings class."""
    for word in place:
        cls = bare(cls)
        if is_dataclass(cls):
            cls = typing.get_type_hints(cls)[str(word)]
        else:
            inner = [each for each in typing.get_args(cls) if each is not Ellipsis]
            cls = inner[-1]
    return bare(cls)


def bare(annotation: object) -> Annotation:
    """A type without what is annotated, and without None."""
    if typing.get_origin(annotation) is Annotated:
        return bare(typing.get_args(annotation)[0])
    options = [each for each in typing.get_args(annotation) if each is not type(None)]
    return options[0] if len(options) == 1 and type(None) in typing.get_args(annotation) else annotation


@settings
class NoSettings:
    """What has no settings of its own."""


@settings
class SamplerSettings:
    """How chains move and when they stop (Eqs. 16 to 18, Algorithm 1); the defaults are the paper's."""

    step_size: Positive = 0.1
    """Step size of the first `decay_period` steps (Eq. 17)."""
    decay: Positive = 0.9
    """Factor of the step size after each `decay_period`."""
    decay_period: Count = 100
    """Steps between two decays."""
    noise: Literal["variance", "deviation", "none"] = "variance"
    """What of the noise equals the step size: its variance (Eq. 18), its deviation (the authors' code), or nothing."""
    direction: Literal["sign", "gradient"] = "sign"
    """Whether a step moves all pixels equally far, by the gradient's sign (Eq. 18), or in proportion to it."""
    radius: NotNegative = 0.0
    """Farthest that a pixel, in [-1, 1], may move from where its chain started; 0 sets no bound."""
    smoothing: tuple[NotNegative, ...] = ()
    """Deviations in pixels of low-passes through which the network sees chains, in turn; 0, or none, is no low-pass."""
    stop: Literal["chain", "batch"] = "chain"
    """Whether each chain stops by itself, or the batch when its mean confidence exceeds `confident` (authors' code)."""
    min_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """Fewest steps of a chain."""
    max_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """Most steps of a chain."""
    window: Count = 5
    """Steps whose mean confidence is compared with that of as many before."""
    tolerance: Positive = 0.02
    """Largest difference of the two means that counts as converged."""
    confident: Share = 0.9
    """Mean confidence of a batch at which it stops, for `stop: batch`."""
    c: Positive = 5.0
    """Factor of the energy's second term (Eq. 16)."""
    precision: Precision = "float32"
    """Precision of the passes; in lower ones some signs of small gradients differ (docs/results/performance.md)."""

    def __post_init__(self) -> None:
        if self.min_steps > self.max_steps:
            raise ValueError(f"min_steps is {self.min_steps}: it must be at most max_steps, {self.max_steps}")


@settings
class TrainingSettings:
    """SGD on mini-batches for a number of `epochs` or of `iterations`: one of the two, or neither for none at all."""

    learning_rate: Positive
    """Learning rate of SGD at the start."""
    epochs: Whole = 0
    """Length in passes over the training images."""
    iterations: Whole = 0
    """Length in mini-batches, instead of epochs."""
    batch_size: Count = 128
    """ID images in a mini-batch, over all workers."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    weight_decay: NotNegative = 5e-4
    """Weight decay of SGD."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Shares of the length at which the learning rate is divided by ten."""
    cosine_to: NotNegative | None = None
    """Learning rate that half a cosine ends at, one step after the other, instead of `milestones`."""
    nesterov: bool = False
    """Whether the momentum is Nesterov's."""
    log_every: Count = 50
    """Iterations averaged into one row of the history."""
    precision: Precision = "float32"
    """Precision of the passes: in float16 and bfloat16 autocast computes, and the weights stay in float32."""
    deterministic: bool = False
    """Keep a GPU to algorithms that repeat to the bit, so that a resumed training ends with the same weights there."""

    def __post_init__(self) -> None:
        if self.epochs and self.iterations:
            raise ValueError(f"epochs is {self.epochs} and iterations {self.iterations}: set one of them to 0")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov is true and momentum 0: Nesterov's momentum must be above 0")


@settings
class Pretraining(TrainingSettings):
    """The training of standard discriminators and of every method that starts from random weights (Section 4.1)."""

    learning_rate: Positive = 0.1
    """Learning rate of SGD at the start."""
    epochs: Whole = 200
    """Length in passes over the training images."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    """Shares of the length at which the learning rate is divided by ten."""


@settings
class Finetuning(TrainingSettings):
    """Fine-tuning (Algorithm 2). The paper says "until convergence"; 1000 iterations are the authors' code's."""

    learning_rate: Positive = 0.001
    """Learning rate of SGD at the start."""
    iterations: Whole = 1000
    """Length in mini-batches, instead of epochs."""
    log_every: Count = 10
    """Iterations averaged into one row of the history."""


@settings
class Augmentation:
    """How training images are cropped and mirrored."""

    size: Side
    """Pixels a side of the random crop."""
    padding: Border = 0
    """Zeros on each side of an image before the crop, in pixels."""
    flip: bool = False
    """Mirror one image in two."""


@settings
class EvaluationSettings:
    """How many images are scored, drawn by a fixed seed; 0 means all."""

    batch: Count = 256
    """Images at once; the scores do not depend on it."""
    images: Whole = 0
    """Images of each test set that are scored."""
    training_images: Whole = 0
    """Training images that detectors are fitted to."""


@settings
class ThroughputSettings:
    """How much is drawn while the clock runs, for `table5`."""

    batch: Count = 128
    """Chains at once; the paper does not state its number."""
    images: Count = 1280
    """Samples drawn while the clock runs."""


@settings
class EmbeddingSettings:
    """How many points `fig4` has."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the test images."""
    samples: Count = 1000
    """Low-entropy samples drawn."""
    confident: Share = 0.9
    """Samples above this confidence are shown, or else the twenty most confident."""
    batch: Count = 128
    """Images at once."""


@settings
class ChainsSettings:
    """Which chains `fig5` shows: chains that no rule stops."""

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Steps of each chain."""
    chains: Count = 128
    """Chains that are run."""
    images: Count = 8
    """Chains that are shown: the first that end in the wanted class."""
    wanted: dict[str, str] = Field(default_factory=lambda: {"cifar10": "dog", "svhn": "6"})
    """Name of the wanted class by ID data set; any class on the others."""


@settings
class Resources:
    """Workers of a job and what each of them gets. Changing them reruns nothing."""

    workers: Annotated[int, Field(ge=0, le=100_000)] = 1
    """Worker processes; 0: the work is done in the job's own process."""
    gpus_per_worker: Annotated[float, Field(ge=0, le=1000)] = 0
    """GPUs of each worker."""
    cpus_per_worker: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Cores of each worker."""
    nodes: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Nodes of a Slurm job that the workers are spread over, as many on each."""

    def __post_init__(self) -> None:
        if self.workers % self.nodes or (self.workers == 0 and self.nodes > 1):
            raise ValueError(f"workers is {self.workers} and nodes {self.nodes}: workers must be a multiple of nodes")
