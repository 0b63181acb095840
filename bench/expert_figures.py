"""Tables of what bench/experts.py measured: medians of all rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.expert_runs import OURS, PEER
from bench.figures import Record

HEADER = ("file, budget", "engine", "decode", "prefill", "MB/token", "hit rate", "stall ms", "peak", "of full", "ratio")


def medians(runs: Sequence[Record]) -> Record:
    """Rates of the runs that succeeded: tokens a second, bytes and stall a token; empty where none did."""
    good = [_rates(run) for run in runs if "error" not in run and run["tokens"]]
    fields = good[0].keys() if good else ()
    return {field: statistics.median(rates[field] for rates in good) for field in fields}


def _rates(run: Record) -> dict[str, float]:
    tokens = run["tokens"]
    rates = {
        "decode": tokens / run["decode_seconds"],
        "prefill_seconds": run["prefill_seconds"],
        "bytes_per_token": run["decode_read_bytes"] / tokens,
        "read_rate": run["decode_read_bytes"] / run["decode_seconds"],
        "peak": run["peak_bytes"],
    }
    wanted = run.get("hits", 0) + run.get("misses", 0)
    if not wanted:
        return rates
    return rates | {
        "hit_rate": run["hits"] / wanted,
        "stall": run["stall_ns"] * 1e-9 / tokens,
        "recall": run["foreseen"] / wanted,
    }


def summary(report: Record) -> dict[str, Record]:
    """Of each row: the medians of each engine; of llama.cpp the better of its settings under `llama.cpp`."""
    made: dict[str, Record] = {}
    for key, row in report["rows"].items():
        found = {name: medians(runs) for name, runs in row["runs"].items()}
        peers = [rates for name, rates in found.items() if name.startswith(PEER) and rates]
        best: Record = max(peers, key=lambda rates: rates["decode"], default={})
        made[key] = {**row, "engines": found, "peer": best}
    return made


def lines(report: Record) -> list[str]:
    """For a terminal."""
    rows: list[Sequence[str]] = [HEADER]
    made = summary(report)
    for key, row in made.items():
        full = made.get(f"{row['case']} no limit", {}).get("engines", {}).get(OURS, {}).get("decode")
        for name, rates in row["engines"].items():
            rows.append((key, name, *_cells(rates, full if name.startswith(OURS) else None, row)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    disk = report["disk_bytes_per_second"]
    return [*table, f"disk: {statistics.median(disk) / 1e9:.2f} GB/s ({min(disk) / 1e9:.2f}-{max(disk) / 1e9:.2f})"]


def _cells(rates: Record, full: float | None, row: Record) -> list[str]:
    if not rates:
        return ["failed", *[""] * (len(HEADER) - 3)]
    peer = row["peer"].get("decode")
    limit = row["limit_bytes"]

    def shown(name: str, scale: float, form: str) -> str:
        return f"{rates[name] * scale:{form}}" if name in rates else ""

    return [
        shown("decode", 1, ".2f"),
        f"{rates['prefill_seconds']:.2f} s",
        shown("bytes_per_token", 1e-6, ".1f"),
        shown("hit_rate", 1, ".3f"),
        shown("stall", 1e3, ".1f"),
        f"{rates['peak'] / limit:.3f}" if limit else f"{rates['peak'] / 1e9:.2f} GB",
        f"{rates['decode'] / full:.2f}" if full else "",
        f"{rates['decode'] / peer:.2f}" if peer else "",
    ]
