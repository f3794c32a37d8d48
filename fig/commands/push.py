"""fig push: a discriminator on the Hugging Face hub."""

from typing import Annotated

from cyclopts import Parameter

from fig.commands.answers import Answer
from fig.commands.options import Folder, TrustFactory, is_trusted


def push(
    discriminator: Folder,
    repository: Annotated[str, Parameter(help="Where to: <owner>/<name>.")],
    /,
    *,
    private: Annotated[bool, Parameter(help="Make a new repository private.", negative=(), show_default=False)] = False,
    trust_factory: TrustFactory = False,
) -> Answer:
    r"""Push a discriminator to the Hugging Face hub, with its evaluation and a model card.

    Log in first: hf auth login. Discriminator.from_pretrained loads it.

    Example:
        fig push results/demo/discriminators/digits/resnet18/fig/0 \
          me/digits-fig --private

    """
    from fig.discriminator import load

    loaded = load(discriminator, is_trusted(discriminator, trust_factory))
    url = loaded.push_to_hub(repository, private=private or None)
    print(url)
    return {"url": url}
