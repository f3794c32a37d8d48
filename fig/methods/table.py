"""The methods that one chooses by name."""

from fig.methods.gaussian import Gaussian
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.protocol import Method
from fig.methods.standard import Standard

METHODS: dict[str, type[Method]] = {"standard": Standard, "fig": ImplicitGenerator, "gaussian": Gaussian}
