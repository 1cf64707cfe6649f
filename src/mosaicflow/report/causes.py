"""What was noticed, grouped by cause."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING

from mosaicflow.reasons import Concern
from mosaicflow.report.advice import ADVICE
from mosaicflow.report.records import slice_at_end, spelled_out, worst
from mosaicflow.report.verdict import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mosaicflow.report.advice import Advice
    from mosaicflow.report.records import Measured, Metric

__all__ = ["Finding", "by_severity", "findings"]


_CONCERNS = frozenset(Concern)


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, however often it was met.

    Parameters
    ----------
    status : str
        ``warning``, ``error`` or ``note``.
    text : str
        The sentence or number, of the first that was met.
    stage : str
        Stage that noticed it; its page is ``docs/stages/STAGE.md``.
    where : str
        Slices or pairs concerned, and how many; empty for the whole run.
    advice : Advice or None
        Likely cause and switch, where they are known.
    count : int
        How often.
    is_loss : bool
        Whether a slice is not in the volume for it.
    """

    status: str
    text: str
    stage: str
    where: str
    advice: Advice | None
    count: int
    is_loss: bool = False


@dataclass(frozen=True, slots=True)
class _Noticed:
    status: str
    text: str
    code: str
    key: str
    source: Measured
    is_number: bool = False


def findings(measured: Sequence[Measured], lost: Collection[int]) -> tuple[Finding, ...]:
    """Group what all stages noticed by its cause, the worst first.

    Parameters
    ----------
    measured : sequence of Measured
        All metrics files of a run.
    lost : collection of int
        Slices without image: what was noticed on them, and on pairs with them, are notes.

    Returns
    -------
    tuple of Finding
        Errors, warnings, notes; of each losses first, then the most frequent.
    """
    groups: dict[tuple[str, str], list[_Noticed]] = {}
    told = set()
    # Of two that say the same, the one that names the slice.
    ordered = sorted(measured, key=lambda one: one.slice_id is None)
    for one in (one for source in ordered for one in _noticed(source, lost)):
        if one.is_number or (one.text, one.source.pair) not in told:
            told.add((one.text, one.source.pair))
            kind = "note" if one.status == "note" else "counts"
            groups.setdefault((kind, one.key), []).append(one)
    return by_severity([_finding(group) for group in groups.values()])


def by_severity(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Order findings: errors, warnings, notes; of each losses first, then the most frequent."""
    order = {"error": 0, "warning": 1, "note": 2}

    def rank(one: Finding) -> tuple[int, bool, int, str, str]:
        return order[one.status], not one.is_loss, -one.count, one.stage, one.text

    return tuple(sorted(found, key=rank))


def _noticed(source: Measured, lost: Collection[int]) -> Iterator[_Noticed]:
    about = source.pair or (source.slice_id,)
    is_note = any(one in lost for one in about)
    for metric in source.metrics.values():
        if metric.status in ("warning", "error"):
            yield _Noticed(
                "note" if is_note else metric.status,
                _judged(metric),
                metric.name,
                metric.name,
                source,
                is_number=True,
            )
    named = (
        ("error", source.errors, source.codes.get("errors", ())),
        ("warning", source.warnings, source.codes.get("warnings", ())),
        ("note", source.notes, ()),
    )
    for status, sentences, codes in named:
        for sentence, given in zip(sentences, chain(codes, repeat("")), strict=False):
            code = given or _problem_in(sentence)
            # What is about a slice may have several reasons: all are said.
            key = _shape(sentence) if not code or code in _CONCERNS else code
            text = spelled_out(sentence)
            yield _Noticed("note" if is_note else status, text, code, key, source)


def _judged(metric: Metric) -> str:
    limit = metric.error_at if metric.status == "error" else metric.warning_at
    side = "below" if metric.direction == "high" else "above"
    value = "" if metric.number is None else f" {metric.number:.3g} {metric.unit}".rstrip()
    beyond = "" if limit is None else f", {side} {limit:.4g}"
    return f"{metric.name}{value}{beyond}: {metric.description}"


def _problem_in(sentence: str) -> str:
    """Find the code that a problem of the raw data ends with, in files that list no codes."""
    found = re.search(r"\[(\w+), \w+\]$", sentence)
    return found[1] if found else ""


def _shape(sentence: str) -> str:
    """Give a sentence without its numbers and names."""
    return re.sub(r"\S*\d[\w./-]*", "#", sentence)


def _finding(group: Sequence[_Noticed]) -> Finding:
    first = next(one for one in group if one.status == _worst([other.status for other in group]))
    return Finding(
        first.status,
        first.text,
        first.source.stage,
        _where(group),
        ADVICE.get(first.code),
        len(group),
        first.code == Concern.LEFT_OUT,
    )


def _worst(statuses: Sequence[str]) -> str:
    return "note" if set(statuses) == {"note"} else worst(statuses)


def _where(group: Sequence[_Noticed]) -> str:
    pairs = [one.source.pair for one in group if one.source.pair is not None]
    if pairs:
        names = ", ".join(f"{fixed}-{moving}" for fixed, moving in pairs[:6])
        more = f" and {len(pairs) - 6} more" if len(pairs) > 6 else ""
        return f"{len(pairs)} pair{'s' * (len(pairs) > 1)}: {names}{more}"
    ids = sorted({one.source.slice_id for one in group if one.source.slice_id is not None})
    if not ids:
        return ", ".join(dict.fromkeys(filter(None, map(_slices_in, group))))
    return f"{len(ids)} of the slices: {listed(ids)}" if len(ids) > 1 else listed(ids)


def _slices_in(one: _Noticed) -> str:
    """Give the slices that a sentence about the whole run begins with, or a number ends with."""
    if found := re.match(r"slices? \d+(?:(?:-|, )\d+)*", one.text):
        return found[0]
    last = slice_at_end(one.text)
    return "" if last is None else listed([last])
