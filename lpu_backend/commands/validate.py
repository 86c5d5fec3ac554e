"""`validate`: published figures beside those that programs reach here."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.commands.command import Command, format_table, write_line
from lpu_backend.compiler.calibration import FITTED_TO, LAYER_OVERHEAD_CYCLES
from lpu_backend.validation import PUBLISHED, ModelRow, Row, differs, list_model_rows, read_published, validate

_HEAD = ("figure", "source", "published", "emulated", "unit", "error", "used for", "")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="further models, as in published_models.json")


def _validate(options: argparse.Namespace) -> int:
    return report(GROQCHIP1, as_json=options.json, models=list_models(options.rows))


def list_models(path: Path | None) -> list[ModelRow]:
    """The rows of language models, with the user's own behind them."""
    published = read_published()
    return list(list_model_rows((*published, *read_published(path)) if path is not None else published))


def report(chip: ChipSpec, *, as_json: bool, models: Sequence[ModelRow] = ()) -> int:
    """Print the table of a chip, and that of language models; 1 if an exact row differs."""
    rows = []
    for row in validate(chip):
        rows.append(row)
        _show_progress(len(rows))
    differing = sum(map(differs, rows))
    if as_json:
        write_line(json.dumps([asdict(row) for row in rows] + [asdict(row) for row in models], indent=1))
    else:
        for line in format_table(_HEAD, [_format(row) for row in rows], right=(2, 3, 5)):
            write_line(line)
        exact = sum(row.used_for == "exact" for row in rows)
        write_line(f"{exact} exact rows, {differing} differ; compared at the digits that are published")
        for line in _tabulate_models(models):
            write_line(line)
    return int(differing > 0)


def _show_progress(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {len(PUBLISHED)} figures" if done < len(PUBLISHED) else "\r\033[K")
        sys.stderr.flush()


def _format(row: Row) -> tuple[str, ...]:
    published = row.published if isinstance(row.published, tuple) else (row.published,)
    emulated = "-" if row.emulated is None else _format_number(row.emulated)
    error = "-" if row.error is None else f"{row.error:+.2%}" if row.error else "0"
    mark = "" if row.agrees else "DIFFERS" if differs(row) else "differs"
    return (
        row.name,
        row.source,
        " to ".join(map(_format_number, published)),
        emulated,
        row.unit,
        error,
        row.used_for,
        f"{mark} {row.reason}".strip(),
    )


def _tabulate_models(models: Sequence[ModelRow]) -> Iterator[str]:
    if not models:
        return
    yield ""
    yield "Language models, tokens a second for each user; the baseline is 42.5 us a layer for all of them"
    head = ("model", "published", "ideal", "calibrated", "error", "baseline", "its error", "used for", "")
    cells = []
    for row in models:
        speeds = ("-" if speed is None else f"{speed:,.0f}" for speed in (row.ideal, row.calibrated))
        ideal, calibrated = speeds
        error, baseline_error = ("-" if each is None else f"{each:+.1%}" for each in (row.error, row.baseline_error))
        baseline = "-" if row.baseline is None else f"{row.baseline:,.0f}"
        published = f"{row.published:,.0f}"
        cells.append(
            (row.name, published, ideal, calibrated, error, baseline, baseline_error, row.used_for, row.verdict)
        )
    yield from format_table(head, cells, right=range(1, 7))
    yield f"calibrated: one number, fitted to {FITTED_TO}; `compile` and `scale` have {LAYER_OVERHEAD_CYCLES:,} cycles"
    for row in models:
        yield f"{row.name}: {row.source}; {row.statistic}; chips: {row.chips}"


def _format_number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.6g}"


COMMAND = Command("validate", "print published figures beside emulated ones", _add_arguments, _validate)
