"""The methods that one chooses by name.

A method is imported when it is asked for, so that a job depends on the code of its own method alone.
"""

from importlib import import_module

FINETUNING = {  # of a standard discriminator
    "fig": "implicit_generator.ImplicitGenerator",
    "gaussian": "gaussian.Gaussian",
}
RETRAINING = {  # from random initialisation
    "standard": "standard.Standard",
    "scratch": "scratch.Scratch",
    "mixup": "mixup.Mixup",
    "adversarial": "adversarial.Adversarial",
    "jcl": "jcl.JointConfidence",
    "deconf": "deconf.Deconf",
}
METHODS = FINETUNING | RETRAINING
SECTIONS = {"scratch": "fig"}  # methods whose settings are those of another


def module_of(name: str) -> str:
    """The module of the method called `name`; raises ValueError where there is none."""
    if name not in METHODS:
        raise ValueError(f"no method is called {name!r}: choose one of {', '.join(METHODS)}")
    return f"fig.methods.{METHODS[name].partition('.')[0]}"


def method_class(name: str) -> type:
    """The class of the method called `name`, whose fields are its settings; raises ValueError where there is none."""
    return getattr(import_module(module_of(name)), METHODS[name].partition(".")[2])
