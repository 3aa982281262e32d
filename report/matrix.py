"""Region x region, and within a per-node region: which path is expected, before and after, and why."""

from __future__ import annotations

from report.model import LinkRow, Report

SELF = "·"


def matrix(report: Report) -> tuple[list[str], list[list[str]]]:
    """A header and a row for each region; a pair stands in both halves."""
    links = {frozenset((link.one, link.other)): link for link in report.links}
    names = [name for name in report.regions if any(name in pair for pair in links)]
    rows = [
        [
            name,
            *(
                _cell(links.get(frozenset((name, other)))) or ("" if name != other else SELF)
                for other in names
            ),
        ]
        for name in names
    ]
    return ["", *names], rows


def reasons(report: Report) -> list[tuple[str, list[str]]]:
    """Every reason with the pairs it holds for, and what fits through them."""
    grouped: dict[str, list[str]] = {}
    for link in report.links:
        grouped.setdefault(f"{link.reason}; MTU {link.mtu}, MSS {link.mss}", []).append(
            f"{link.one} - {link.other}"
        )
    return list(grouped.items())


def _cell(link: LinkRow | None) -> str:
    if link is None:
        return ""
    if link.before == link.after:
        return link.after
    return f"{link.before or 'no region'} → {link.after or 'no region'}"
