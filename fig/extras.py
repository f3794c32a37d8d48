"""The optional extras: which of them brings a library, and what to say where the library is missing."""

from importlib import import_module
from types import ModuleType

EXTRAS = {  # by the name under which a library is imported
    "datasets": "data",
    "pyarrow": "data",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "huggingface_hub": "hub",
    "timm": "models",
    "transformers": "models",
    "jinja2": "pipeline",
    "matplotlib": "pipeline",
    "mlflow": "pipeline",
    "pandas": "pipeline",
    "psutil": "pipeline",
    "pytorch_ood": "pipeline",
    "ray": "pipeline",
    "scikit_posthocs": "pipeline",
    "snakemake": "pipeline",
    "tabulate": "pipeline",
}


def missing_extra(name: str | None) -> str:
    """The sentence to print where the module of this name is missing; empty where no extra brings it."""
    library = (name or "").partition(".")[0]
    if library not in EXTRAS:
        return ""
    return f"{library} is not installed: pip install 'fig-ood[{EXTRAS[library]}]' brings it"


def import_extra(name: str) -> ModuleType:
    """Import a module of an extra's library; raises ModuleNotFoundError that names the extra where it is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if sentence := missing_extra(error.name):
            raise ModuleNotFoundError(sentence, name=error.name) from None
        raise
