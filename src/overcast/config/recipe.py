"""Recipes: one word in a configuration for a whole way of training and testing, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, assert_never

from overcast.choices import Separation, Tta
from overcast.section import Section


class Recipe(StrEnum):
    """Values for what a configuration leaves open."""

    PLAIN = "plain"
    """Footprints alone, look-safe flips, no test-time augmentation."""
    STRONG = "strong"
    """The SAR-only recipe of the SpaceNet 6 winners: edges and contacts as further targets, scale and rotation
    jitter, look-safe test-time augmentation, and a watershed on the three maps."""


class EvaluationSection(Section):
    """How the trained model is looked at by `overcast evaluate` and `overcast benchmark`."""

    tta: Tta = Tta.OFF
    """Test-time augmentation: `off`; `flip` along the flight direction; `full`, the same at three scales."""
    separate: Separation = Separation.OFF
    """`watershed` separates touching buildings along the learnt edges and contacts before they are matched, and takes
    vector footprints one by one as the truth; `off` takes connected pixels for one building on both sides."""


def values_of(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe, section by section."""
    match recipe:
        case Recipe.PLAIN:
            return {}
        case Recipe.STRONG:
            return {
                "targets": {"edge": True, "contact": True},
                "augmentation": {"scale": 0.2, "rotation_deg": 10.0},
                "evaluation": {"tta": Tta.FULL.value, "separate": Separation.WATERSHED.value},
            }
        case _:
            assert_never(recipe)


def with_recipe(values: Any) -> Any:
    """Settings as given, what they leave open filled in from the recipe that they name.

    >>> with_recipe({"recipe": "strong", "augmentation": {"scale": 0.1}})["augmentation"]
    {'scale': 0.1, 'rotation_deg': 10.0}
    """
    name = values.get("recipe", Recipe.PLAIN) if isinstance(values, dict) else None
    if name not in list(Recipe):
        return values  # a wrong name is reported by the field itself
    filled = dict(values)
    for section, chosen in values_of(Recipe(name)).items():
        given = values.get(section, {})
        filled[section] = {**chosen, **given} if isinstance(given, Mapping) else given
    return filled
