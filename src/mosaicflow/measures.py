"""What a number of a metrics file means, and from where it is bad: said once, in a contract."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Direction", "Measure", "each"]

Direction = Literal["low", "high", "abs"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number that a stage records.

    Parameters
    ----------
    name : str
        How it is called in metrics files; one name, one meaning within a stage.
    meaning : str
        For the reader.
    unit : str
        Empty where it has none.
    warning, error : float, optional
        From where it is bad; one on the threshold itself still counts as good. Without either it
        is for information.
    good : {'low', 'high', 'abs'}
        Which values are good: small ones, large ones, or those near zero.
    scaled : str
        How the data move the thresholds, in words; empty where they do not.
    """

    name: str
    meaning: str
    unit: str = ""
    _: KW_ONLY
    warning: float | None = None
    error: float | None = None
    good: Direction = "low"
    scaled: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether any value of it is bad."""
        return self.warning is not None or self.error is not None


def each(name: str, values: Iterable[str], meaning: str, unit: str = "") -> tuple[Measure, ...]:
    """Declare numbers that differ in a word: ``{}`` stands for it in name and meaning."""
    return tuple(Measure(name.format(one), meaning.format(one), unit) for one in values)
