"""What a stage did and how well: the metrics file beside each output, and provenance inside it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from mosaicflow import __version__
from mosaicflow.errors import InputError
from mosaicflow.io.tables import read_document, write_document
from mosaicflow.reasons import Concern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mosaicflow.measures import Measure

__all__ = ["StageReport", "digest", "metrics_path", "read_metrics"]

SOFTWARE = f"mosaicflow {__version__}"

Status = Literal["not_used", "ok", "warning", "error"]
_RANK: tuple[Status, ...] = ("not_used", "ok", "warning", "error")


def metrics_path(output: Path) -> Path:
    """Name the metrics file of an output: ``a.ome.zarr`` -> ``a.metrics.json``, beside it."""
    name = output.name
    for suffix in (".ome.zarr", output.suffix):
        if suffix and name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    return output.with_name(f"{name}.metrics.json")


def digest(path: Path) -> str:
    """Fingerprint an input so that a changed one is noticed.

    A file is hashed by content. A store is hashed by its metadata, which records the stage, the
    parameters, the version and the digests of what it was made from: hashing every chunk would
    cost as much as the stage itself.

    Parameters
    ----------
    path : Path
        A file, or the directory of an OME-Zarr store.

    Returns
    -------
    str
        The first 32 hexadecimal digits of a SHA-256.
    """
    hasher = hashlib.sha256()
    for file in _identity_files(path):
        hasher.update(file.name.encode())
        hasher.update(file.read_bytes())
    return hasher.hexdigest()[:32]


def _identity_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = [path / ".zattrs", path / "zarr.json", path / "0/.zarray", path / "0/zarr.json"]
    found = [file for file in files if file.is_file()]
    if not found:
        raise InputError(f"{path}: not found, expected a file or an OME-Zarr store")
    return found


class StageReport:
    """Numbers, warnings and provenance of one run of one stage.

    Parameters
    ----------
    step_name : str
        The stage's stem.
    inputs : mapping of str to str
        Digest of each input, by argument name.
    parameters : mapping
        Settings that the result depends on.
    declared : iterable of Measure
        The numbers that it may hold: those of the stage's contract.
    """

    def __init__(
        self,
        step_name: str,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        declared: Iterable[Measure] = (),
    ) -> None:
        self.step_name = step_name
        self.declared = {one.name: one for one in declared}
        self.inputs = dict(inputs)
        self.parameters = dict(parameters)
        self.metrics: dict[str, dict[str, Any]] = {}
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.codes: dict[str, list[str]] = {"warnings": [], "errors": []}
        self.notes: list[str] = []
        self.is_used = True
        self.sections: dict[str, Any] = {}

    @classmethod
    def of(
        cls, step_name: str, arguments: Mapping[str, Any], declared: Iterable[Measure] = ()
    ) -> StageReport:
        """Start a report from a stage function's own arguments.

        Parameters
        ----------
        step_name : str
            The stage's stem.
        arguments : mapping
            By name. Paths are inputs, but for those named ``output...``; ``raw``, a folder of any
            size, is known by its tile list instead; ``threads`` changes nothing in the result; all
            else is a parameter, and so is each option of a group.
        declared : iterable of Measure
            The numbers that it may hold.
        """
        inputs: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        for name, value in _flat(arguments):
            if name in ("threads", "raw") or name.startswith("output"):
                continue
            if isinstance(value, Path):
                inputs[name] = digest(value)
            elif isinstance(value, tuple | list) and value and isinstance(value[0], Path):
                inputs[name] = {path.name: digest(path) for path in sorted(value, key=_by_name)}
            else:
                parameters[name] = list(value) if isinstance(value, tuple) else value
        return cls(step_name, inputs, parameters, declared)

    def of_an_output(self) -> StageReport:
        """Start a report of the same task on one of several outputs."""
        return type(self)(self.step_name, self.inputs, self.parameters, self.declared.values())

    @property
    def key(self) -> dict[str, Any]:
        """What decides the result: two runs with equal keys give equal outputs."""
        return {"inputs": self.inputs, "parameters": self.parameters, "software": SOFTWARE}

    @property
    def overall_status(self) -> Status:
        """The worst of all metrics, warnings and errors."""
        status = [metric["status"] for metric in self.metrics.values()]
        status += ["warning"] * bool(self.warnings) + ["error"] * bool(self.errors)
        return max(status, key=_RANK.index, default="ok" if self.is_used else "not_used")

    def metric(
        self,
        name: str,
        value: float | str | bool | None,
        *,
        of: str = "",
        meaning: str = "",
        scale: float = 1.0,
    ) -> None:
        """Record one number and judge it as it is declared.

        Parameters
        ----------
        name : str
            Of a number in the contract of the stage.
        value : float, str, bool or None
            NaN and infinity become null, with a warning where the number is used.
        of : str
            What in particular it was measured on; it is added to the meaning.
        meaning : str
            In place of the declared one, where the data say more.
        scale : float
            Factor on the thresholds, of a number that is declared as ``scaled``; infinite where
            these data have none.

        Raises
        ------
        LookupError
            The contract has no such number, or none whose thresholds move.
        """
        declared = self.declared.get(name)
        if declared is None or (scale != 1.0 and not declared.scaled):
            raise LookupError(
                f"{self.step_name}: {name!r} is no number of its contract"
                + ("" if declared is None else " whose thresholds are scaled")
            )
        value = getattr(value, "item", lambda: value)()  # a numpy scalar becomes a plain number
        limits = _Limits.of(declared, scale)
        if isinstance(value, float) and not math.isfinite(value):
            if self.is_used:
                self.warn(f"{name} is {value}", Concern.NO_NUMBER)
            value = None
        status: Status = "ok"
        if isinstance(value, int | float) and not isinstance(value, bool):
            status = limits.judge(float(value))
        text = meaning or declared.meaning
        self.metrics[name] = {
            "value": value, "unit": declared.unit,
            "description": f"{text} ({of})" if of else text,
            "warning_at": limits.warning, "error_at": limits.error,
            "direction": limits.direction, "status": status if self.is_used else "not_used",
        }  # fmt: skip

    def set_aside(self, reason: str) -> None:
        """Say that nothing depends on what follows: it is recorded, and judged by nobody."""
        self.is_used = False
        self.note(reason)

    def note(self, text: str) -> None:
        """Add a sentence about something normal."""
        self.notes.append(text)

    def warn(self, text: str, code: str) -> None:
        """Add a sentence that a user should read, with the code of its reason.

        Parameters
        ----------
        text : str
            For people.
        code : str
            A `Concern`, or the code of a problem of the raw data.
        """
        self.warnings.append(text)
        self.codes["warnings"].append(code)

    def warn_unless(self, expected: bool, text: str, code: str) -> None:
        """Warn, or take it as a note where these data can be no other."""
        if expected:
            self.note(text)
        else:
            self.warn(text, code)

    def error(self, text: str, code: str) -> None:
        """Add a sentence about something wrong that did not stop the stage, with its code."""
        self.errors.append(text)
        self.codes["errors"].append(code)

    def section(self, name: str, value: object) -> None:
        """Add a table or an object of the stage's own beside the metrics."""
        self.sections[name] = value

    def provenance(self) -> dict[str, Any]:
        """Describe this step for the ``history`` of a store: same run, same bytes, so no time."""
        return {"step": self.step_name, "params": self.parameters, **self._origin()}

    def block(self, parent: Mapping[str, Any], **changes: object) -> dict[str, Any]:
        """Make the ``mosaicflow`` block of an output out of its input's.

        Parameters
        ----------
        parent : mapping
            The input's block; keys unknown to this stage survive.
        **changes : object
            Keys to set; None removes the key.
        """
        merged = {**parent, **changes, "software": {"name": "mosaicflow", "version": __version__}}
        merged["history"] = [*parent.get("history", []), self.provenance()]
        return {key: value for key, value in merged.items() if value is not None}

    def _origin(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "software": SOFTWARE}

    def write(self, output: Path) -> Path:
        """Write ``<output stem>.metrics.json`` beside the output and return its path."""
        path = metrics_path(output)
        write_document(
            path,
            {
                "step_name": self.step_name,
                "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
                "overall_status": self.overall_status,
                "metrics": self.metrics,
                "warnings": self.warnings,
                "errors": self.errors,
                "notes": self.notes,
                "codes": self.codes,
                "inputs": self.inputs,
                "parameters": self.parameters,
                "software": SOFTWARE,
                **self.sections,
            },
        )
        return path


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics file written by `StageReport.write`."""
    found: dict[str, Any] = read_document(path)
    return found


def _flat(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        if dataclasses.is_dataclass(value):
            yield from (
                (item.name, getattr(value, item.name)) for item in dataclasses.fields(value)
            )
        else:
            yield name, value


def _by_name(path: Path) -> str:
    return path.name


@dataclasses.dataclass(frozen=True, slots=True)
class _Limits:
    """From where a value is bad here; ``direction`` is the way in which it is good."""

    warning: float | None
    error: float | None
    direction: str

    @classmethod
    def of(cls, declared: Measure, scale: float) -> _Limits:
        if not declared.is_judged or math.isinf(scale):
            return cls(None, None, "none")
        warning, error = (
            one if one is None or scale == 1.0 else one * scale
            for one in (declared.warning, declared.error)
        )
        return cls(warning, error, declared.good)

    def judge(self, value: float) -> Status:
        value = abs(value) if self.direction == "abs" else value
        sign = -1.0 if self.direction == "high" else 1.0
        for status, limit in (("error", self.error), ("warning", self.warning)):
            if limit is not None and sign * value > sign * limit:
                return cast("Status", status)
        return "ok"
