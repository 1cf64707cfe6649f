"""How far the volume of a run can be trusted: one sentence, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mosaicflow.report.records import Lost, Measured, Metric
    from mosaicflow.report.slices import SliceRow

__all__ = ["Caveat", "Verdict", "judge", "listed"]

# Slices lost in one run from which its volume as a whole counts as not to be trusted: both must
# hold. With twice the share, a run that lost one slice in six would pass as nearly whole.
_LOST_SLICES = 2
# Of all slices, as design and docs have it: more lost, and the volume as a whole cannot be trusted
_LOST_SHARE = 0.1
# Tiles of a slice placed by the stage alone above this share are worth a word: gel around the
# specimen shows nothing, so some always are. Half: most of what is seen rests on the stage.
_STAGE_SHARE = 0.5
# Share of a slice's tiles without an image from which the verdict names it, by judgement; all are
# among the findings. Doubled, a slice of which a third is missing is not named.
_HOLE_SHARE = 0.2
# Slices that it names for that; of more it says so.
_NAMED = 3
# Files whose errors are about the whole volume.
_WHOLE = ("acquisition", "shifts_xy_clean", "alignment", "illumination", "depth_profile")


@dataclass(frozen=True, slots=True)
class Caveat:
    """One thing that cannot be measured everywhere.

    Parameters
    ----------
    status : str
        ``note`` (does not count), ``warning`` or ``error``.
    what : str
        What is limited: part of the sentence.
    where : str
        Where, and how far it is known.
    is_hint : bool
        Whether it limits nothing and only says where to look.
    slices : tuple of int
        Ids of slices that it names and that are its cause.
    """

    status: str
    what: str
    where: str
    is_hint: bool = False
    slices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader needs to know before anything else.

    Parameters
    ----------
    status : str
        ``ok``, ``warning`` or ``error``.
    sentence : str
        What can be measured in this volume, and where not.
    limits : tuple of Caveat
        What the sentence rests on.
    """

    status: str
    sentence: str
    limits: tuple[Caveat, ...]

    def reaches(self, fail_on: str) -> bool:
        """Whether the run counts as failed."""
        order = ("ok", "warning", "error")
        return fail_on in order and order.index(self.status) >= order.index(fail_on)


def judge(
    measured: Sequence[Measured],
    rows: Sequence[SliceRow],
    lost: Sequence[Lost],
    alignment: Mapping[str, Any],
) -> Verdict:
    """Weigh everything that was measured.

    Parameters
    ----------
    measured : sequence of Measured
        All metrics files of the run.
    rows : sequence of SliceRow
        What is known about each slice.
    lost : sequence of Lost
        Slices without image.
    alignment : mapping
        Content of ``alignment.json``.

    Returns
    -------
    Verdict
    """
    # Each channel has a volume of its own; this sentence is about the one that was measured.
    measured = [one for one in measured if not one.channel]
    limits = (
        *_lost(lost, len(rows)),
        *_whole(measured),
        *_without_image(rows),
        *_tiles(rows),
        *_joins(alignment),
        *_depths(rows),
        *(_brightness(measured) if len(rows) - len(lost) > 1 else ()),
        *_doubtful(rows),
    )
    blamed = [limit for limit in limits if limit.status != "note"]
    limits += _odd(rows, {one for limit in blamed for one in limit.slices})
    found = {limit.status for limit in limits}
    status = "error" if "error" in found else "warning" if "warning" in found else "ok"
    sentence = _sentence(status, limits, [row for row in rows if row.lost is None])
    return Verdict(status, sentence, limits)


def _sentence(status: str, limits: Sequence[Caveat], placed: Sequence[SliceRow]) -> str:
    told = [limit for limit in limits if limit.status != "note" and not limit.is_hint]
    if status == "error":
        worst = [limit for limit in told if limit.status == "error"]
        return f"This volume cannot be trusted as a whole: {_reasons(worst)}."
    can = "lengths and areas" if len(placed) < 2 else "lengths, areas and volumes"
    more = [limit for limit in limits if limit.status == "note" or limit.is_hint]
    rest = f"; {_reasons(more)}" if more else ""
    if not told:
        return f"In this volume {can} can be measured everywhere{rest}."
    return f"In this volume {can} can be measured, except: {_reasons(told)}{rest}."


def _reasons(limits: Iterable[Caveat]) -> str:
    return "; ".join(f"{one.what} {one.where}".strip() for one in limits)


def _lost(lost: Sequence[Lost], n_slices: int) -> list[Caveat]:
    """One lost slice is a loud warning, many spoil the volume; what people decided is a note."""
    bad = [one for one in lost if one.kind in ("failed", "excluded automatically")]
    spoiled = len(bad) >= _LOST_SLICES and len(bad) > _LOST_SHARE * n_slices
    found = []
    for kind in ("failed", "excluded automatically", "missing", "excluded by you"):
        ids = [one.slice_id for one in lost if one.kind == kind]
        if not ids:
            continue
        reasons = dict.fromkeys(one.why for one in lost if one.kind == kind)
        status = "note" if kind == "excluded by you" else "warning"
        if spoiled and kind in ("failed", "excluded automatically"):
            status = "error"
        why = next(iter(reasons)) if len(reasons) == 1 else f"{len(reasons)} reasons, listed below"
        what = f"{listed(ids)} {_is(ids)} not in it"
        found.append(Caveat(status, what, f"({kind}: {why})", slices=tuple(ids)))
    return found


def _whole(measured: Sequence[Measured]) -> list[Caveat]:
    """Name numbers about the whole run that are beyond a threshold."""
    found = []
    for one in measured:
        if one.stem not in _WHOLE and one.stage != "stack":
            continue
        for metric in one.metrics.values():
            if metric.status in ("warning", "error"):
                what = metric.description or metric.name
                is_hint = metric.status == "warning"
                ids = () if metric.slice_id is None else (metric.slice_id,)
                found.append(Caveat(metric.status, f"{what} is", _value(metric), is_hint, ids))
        found += [Caveat("error", sentence, "") for sentence in one.errors]
    return found


def _value(metric: Metric) -> str:
    limit = metric.error_at if metric.status == "error" else metric.warning_at
    value = f"{metric.number:.3g} {metric.unit}".rstrip()
    return value if limit is None else f"{value} (bad from {limit:.4g})"


def _without_image(rows: Sequence[SliceRow]) -> list[Caveat]:
    """Name slices of which a part was not imaged: what lay there cannot be measured."""
    holed = [
        row
        for row in rows
        if row.lost is None
        and row.tiles is not None
        and row.tiles_found is not None
        and row.tiles_found - row.tiles > _HOLE_SHARE * row.tiles_found
    ]
    return [
        Caveat(
            "warning",
            f"{(row.tiles_found or 0) - (row.tiles or 0)} of {row.tiles_found} tiles of slice"
            f" {row.slice_id} have no image",
            "",
            slices=(row.slice_id,),
        )
        for row in holed[:_NAMED]
    ] + ([Caveat("warning", "and tiles of further slices", "")] if len(holed) > _NAMED else [])


def _tiles(rows: Sequence[SliceRow]) -> list[Caveat]:
    weak = [
        row.slice_id
        for row in rows
        if row.lost is None
        and row.tiles is not None
        and row.tiles > 1
        and row.by_evidence is not None
        and not row.moved_islands
        and row.tiles - row.by_evidence > _STAGE_SHARE * row.tiles
    ]
    text = "most tiles lie where the stage reported them, not where images show them"
    return [Caveat("warning", f"within {listed(weak)}", text, slices=tuple(weak))] if weak else []


def _joins(alignment: Mapping[str, Any]) -> list[Caveat]:
    """Say across which faces nothing that two slices show alike joins the stack."""
    gaps = [gap for gap in alignment.get("gaps", ()) if gap.get("sigma_px") is not None]
    pitch = alignment.get("pitch_um", (None, None, None))[1]
    if not gaps or pitch is None:
        return []
    names = ", ".join(f"{gap['fixed_id']}-{gap['moving_id']}" for gap in gaps[:5])
    more = f" and {len(gaps) - 5} more" if len(gaps) > 5 else ""
    worst = max(float(gap["sigma_px"]) for gap in gaps) * pitch
    where = f"(places across are known to {worst:.0f} um per axis)"
    return [Caveat("warning", f"no common tissue joins slices {names}{more}", where)]


def _depths(rows: Sequence[SliceRow]) -> list[Caveat]:
    assumed = [row.slice_id for row in rows if row.thickness_source == "assumed"]
    if not assumed:
        return []
    return [Caveat("note", f"the thickness above {listed(assumed)} is assumed, not measured", "")]


def _brightness(measured: Sequence[Measured]) -> list[Caveat]:
    sources = [one.metrics.get("profile_source") for one in measured]
    source = next((one.value for one in sources if one is not None), None)
    if source == "measured":
        return []
    why = "was set slice by slice" if source == "per-slice" else "was not measured"
    return [Caveat("note", f"brightness along z {why} and cannot be compared between slices", "")]


def _doubtful(rows: Sequence[SliceRow]) -> list[Caveat]:
    """Name slices in the volume on which something is beyond its error."""
    ids = [row.slice_id for row in rows if row.lost is None and row.status == "error"]
    if not ids:
        return []
    return [
        Caveat("warning", f"{listed(ids)} {_is(ids)} doubtful", "(see below)", slices=tuple(ids))
    ]


def _odd(rows: Sequence[SliceRow], named: Collection[int]) -> tuple[Caveat, ...]:
    """Say at which slices to look, of those on which something is beyond its warning.

    Those that the sentence has named for a reason are the first to look at: no word more of them.
    """
    odd = [row.slice_id for row in rows if row.lost is None and row.status == "warning"]
    ids = [one for one in odd if one not in named]
    if len(rows) == 1:  # of one slice nobody asks which
        text = "see below what was noticed" if odd else ""
    else:
        text = f"look at {listed(ids)}{', too' if named else ' first'}" if ids else ""
    return (Caveat("warning", text, "", is_hint=True),) if text else ()


def _is(ids: Sequence[int]) -> str:
    return "is" if len(ids) == 1 else "are"


def listed(ids: Sequence[int]) -> str:
    """Name slices in few words.

    Parameters
    ----------
    ids : sequence of int
        One or more ids.

    Returns
    -------
    str
        Such as ``slice 7`` or ``slices 1, 3-5``.
    """
    runs: list[list[int]] = []
    for one in sorted(ids):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"slice{'s' if len(ids) > 1 else ''} {', '.join(names)}"
