"""What a study says, typed and without torch: its configuration, and the discriminators, splits and targets in it."""

from fig.study.config import STANDARD, Config, ConfigError, merge
from fig.study.discriminators import (
    Discriminator,
    Recipe,
    find_method,
    find_studies,
    list_discriminators,
    list_parents,
    list_splits,
    list_test_images,
    planned_targets,
    resolve_recipe,
    rule_of,
    select_all,
    select_studies,
    split_teacher,
)
from fig.study.plain import parse_override
from fig.study.reading import complete_config, read_config, read_yaml
from fig.study.selection import Key, Selection, Study
from fig.study.targets import TARGETS, Target

__all__ = [
    "STANDARD",
    "TARGETS",
    "Config",
    "ConfigError",
    "Discriminator",
    "Key",
    "Recipe",
    "Selection",
    "Study",
    "Target",
    "complete_config",
    "find_method",
    "find_studies",
    "list_discriminators",
    "list_parents",
    "list_splits",
    "list_test_images",
    "merge",
    "parse_override",
    "planned_targets",
    "read_config",
    "read_yaml",
    "resolve_recipe",
    "rule_of",
    "select_all",
    "select_studies",
    "split_teacher",
]
