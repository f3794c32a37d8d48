"""DeConf-C* (DCC*): the decomposed confidence of Generalized ODIN, with cosines (Hsu et al., CVPR 2020)."""

from typing import ClassVar

from fig.methods.standard import Standard
from fig.settings import settings


@settings
class Deconf(Standard):
    """Standard training of a network with the decomposed head; its detector is `deconf`."""

    head: ClassVar[str] = "deconf"
