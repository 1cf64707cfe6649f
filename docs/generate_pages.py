#!/usr/bin/env python3
"""Write the tables of options and numbers into the page of each stage, and the list of pages.

What people write about a stage stands around its tables::

    python docs/generate_pages.py            # write all
    python docs/generate_pages.py --check    # exit code 1 when one of them is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import choices_of, item_choices_of
from mosaicflow.stages._table import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mosaicflow.measures import Measure
    from mosaicflow.stages._contract import Contract

# Also where a test loads this file by its path.
sys.path.insert(0, str(Path(__file__).parent))
from sealing import SEAL, is_edited, seal, write_all

ROOT = Path(__file__).parents[1]
HEAD = f"<!-- Written by docs/generate_pages.py from the contract of the stage; {SEAL}. -->"
END = "<!-- End of what is written. -->"
BLOCK = re.compile(r"<!-- Written by docs/generate_pages\.py.*?^" + re.escape(END), re.M | re.S)
TITLE = "## Options and metrics"
LISTED = re.compile(r"^(?: {6}- stages/\w+\.md\n)+", re.M)


def render_block(contract: Contract) -> str:
    """Write the tables of one stage."""
    lines = [HEAD, "", *_options(contract), *_numbers(contract), END]
    return seal("\n".join(lines))


def _options(contract: Contract) -> Iterator[str]:
    store, texts = set(StoreOptions.__dataclass_fields__), contract.texts()
    own = {name: one for name, one in contract.options.items() if name not in store}
    if own:
        yield from ("| option | default | meaning |", "|---|---|---|")
        yield from (
            f"| `{name}` | {_default(one.default)} | {_cell(texts[name])}{_choices(one.hint)} |"
            for name, one in own.items()
        )
        yield ""
    if store & set(contract.options):
        yield "How stores are written: [output stores](../parameters.md#output-stores)."
        yield ""


def _choices(hint: Any) -> str:  # noqa: ANN401  # a type
    found = choices_of(hint) or item_choices_of(hint)
    return f" ({', '.join(f'`{one}`' if one else 'empty' for one in found)})" if found else ""


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _numbers(contract: Contract) -> Iterator[str]:
    if not contract.metrics:
        return
    yield from ("| metric | unit | meaning | warning | error |", "|---|---|---|---|---|")
    for one in contract.metrics:
        limits = f"{_limit(one, one.warning)} | {_limit(one, one.error)}"
        yield f"| `{one.name}` | {one.unit} | {_cell(one.meaning)}{_moved(one)} | {limits} |"
    yield ""


def _limit(one: Measure, value: float | None) -> str:
    side = {"low": "above", "high": "below", "abs": "beyond ±"}[one.good]
    return "" if value is None else f"{side} {value:g}".replace("± ", "±")


def _moved(one: Measure) -> str:
    return f" (thresholds: {one.scaled})" if one.scaled else ""


def _cell(text: str) -> str:
    return text.removesuffix(".").replace("|", r"\|")


def render_page(contract: Contract, page: str) -> str:
    """Put the tables of a stage into its page; a page without gets them at its end."""
    block = render_block(contract)
    if BLOCK.search(page):
        return BLOCK.sub(lambda _: block, page)
    return f"{page.rstrip()}\n\n{TITLE}\n\n{block}\n"


def render_all() -> dict[Path, str]:
    """Give the wanted text of every page."""
    pages = {name: ROOT / "docs" / "stages" / f"{name}.md" for name in STAGES}
    found = {
        path: render_page(STAGES[name].contract, path.read_text(encoding="utf-8"))
        for name, path in pages.items()
    }
    site = ROOT / "mkdocs.yml"
    listed = "".join(f"      - stages/{name}.md\n" for name in STAGES)
    return {**found, site: LISTED.sub(listed, site.read_text(encoding="utf-8"))}


def holds_edit(page: str) -> bool:
    """Whether somebody edited the tables of a page by hand."""
    found = BLOCK.search(page)
    return found is not None and is_edited(found[0])


if __name__ == "__main__":
    sys.exit(write_all("docs/generate_pages.py", render_all(), holds_edit))
