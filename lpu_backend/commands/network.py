"""`network`: a system of so many chips in figures, and the bandwidth of an all-reduce in its node."""

import argparse
import json
from collections.abc import Mapping, Sequence

from lpu_backend.commands.command import Command, format_table, write_line
from lpu_backend.network.bandwidth import CURVE_BYTES, SHIP_SHARES, CurvePoint, list_latency_models, measure_curve
from lpu_backend.network.summary import TopologySummary, summarise_topology, tabulate_topology

_DEFAULT_CHIPS = 8
_NODE_CHIPS = 8


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chips", type=int, default=_DEFAULT_CHIPS, metavar="N", help="1 to 10,440; 8 if left out")
    parser.add_argument(
        "--bytes", type=_read_size, nargs="+", default=CURVE_BYTES, metavar="B", help="sizes of the all-reduce"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def _read_size(text: str) -> int:
    size_bytes = int(text)
    if size_bytes < 1:
        raise ValueError(f"{text} is below 1")
    return size_bytes


def _show(options: argparse.Namespace) -> int:
    summary = summarise_topology(options.chips)
    curves = _measure_curves(min(options.chips, _NODE_CHIPS), options.bytes)
    if options.json:
        write_line(json.dumps(_collect(summary, curves), indent=1, ensure_ascii=False))
        return 0
    for line in format_table(("figure", "value"), tabulate_topology(summary), right=(1,)):
        write_line(line)
    if curves:
        write_line()
        _write_curves(curves, SHIP_SHARES if options.chips >= _NODE_CHIPS else {})
    return 0


def _measure_curves(chips: int, sizes_bytes: Sequence[int]) -> dict[str, list[CurvePoint]]:
    """By latency model; nothing for a chip alone, which has nobody to add with."""
    if chips < 2:
        return {}
    return {name: measure_curve(timing, sizes_bytes, chips) for name, timing in list_latency_models().items()}


def _write_curves(curves: dict[str, list[CurvePoint]], published: Mapping[int, float]) -> None:
    write_line("All-reduce on the chips of a node: cycles, and the share of the bandwidth that the links allow")
    rows = [
        (
            f"{points[0].size_bytes:,}",
            *(f"{point.cycles:,}  {point.share:5.1%}" for point in points),
            f"{published[points[0].size_bytes]:.0%}" if points[0].size_bytes in published else "",
        )
        for points in zip(*curves.values(), strict=True)
    ]
    head = ("bytes", *curves, "SHIP")
    for line in format_table(head, rows, right=range(len(head))):
        write_line(line)
    write_line("calibrated: the reduction's time is fitted to SHIP's point at 32 KiB; nothing else is fitted")


def _collect(summary: TopologySummary, curves: dict[str, list[CurvePoint]]) -> dict[str, object]:
    return {
        "chips": summary.chips,
        "nodes": summary.nodes,
        "racks": summary.racks,
        "cables": {kind.value: count for kind, count in summary.cables.items()},
        "diameter_hops": summary.diameter_hops,
        "between_nodes_hops": summary.between_nodes_hops,
        "sram_bytes": summary.sram_bytes,
        "bisection_cables": summary.bisection_cables,
        "bisection_bytes_per_second": summary.bisection_bytes_per_second,
        "hop_ns": {mode.value: ns for mode, ns in summary.hop_ns.items()},
        "diameter_ns": {mode.value: ns for mode, ns in summary.far_ns.items()},
        "all_reduce": {name: [point._asdict() for point in points] for name, points in curves.items()},
    }


COMMAND = Command("network", "print a system's cables and the bandwidth of its all-reduce", _add_arguments, _show)
