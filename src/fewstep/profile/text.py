"""Tables for people: columns as wide as their widest cell."""

from collections.abc import Iterator, Mapping, Sequence

from fewstep.profile.ceilings import Ceilings
from fewstep.profile.pipeline import Request, stages_in_order
from fewstep.profile.row import EAGER, Peer, Row, median

HEADER = ("", "ms", "p20", "p80", "GB/s", "TFLOP/s", "of roof", "launches", "error rms", "max", "eager / it")
NOTE = """\
ms, p20, p80: median and percentiles of one call. of roof: the time at the measured ceilings over the median.
error: against fp64, over the rms of what is exact; WRONG: its max beyond 4 times eager's, or its rms beyond twice.
*: the inputs fit the cache, so GB/s may exceed the memory's."""


def kernel_table(rows: Sequence[Row], ceilings: Ceilings) -> str:
    lines: list[tuple[str, ...]] = [HEADER]
    titles: dict[int, str] = {}
    for row in rows:
        titles[len(lines)] = _title(row)
        lines += list(_peer_lines(row))
    roofs = ", ".join(f"{rate / 1e12:.3g} TFLOP/s {dtype}" for dtype, rate in ceilings.product.items())
    head = f"ceilings measured: copy {ceilings.copy / 1e9:.4g} GB/s (read + written), matrix product {roofs}"
    return "\n".join([head, *aligned(lines, titles), NOTE])


REQUEST_NOTE = """\
Medians of whole requests in milliseconds; total: by the host's clock to the end on the device, with p20 and p80.
apart: grey levels from the first peer's picture of the same noise, at most (on average)."""


def request_table(requests: Mapping[str, Request]) -> str:
    measured = {name: found for name, found in requests.items() if found.total is not None}
    stages = stages_in_order(requests)
    lines: list[tuple[str, ...]] = [
        ("", *stages, "total", "p20", "p80", "launches", "kernels", "peak GB", "apart", "first / it")
    ]
    first = next(iter(measured.values()), None)
    for name, found in requests.items():
        if found.total is None:
            lines.append((name, found.missing or ""))
            continue
        assert found.stages is not None and first is not None and first.total is not None
        shown = [f"{1e3 * found.stages[stage].p50:.3f}" if stage in found.stages else "-" for stage in stages]
        totals = [f"{1e3 * seconds:.3f}" for seconds in (found.total.p50, found.total.p20, found.total.p80)]
        device = ["-", "-"] if found.launches is None else [str(count) for count in found.launches]
        device += ["-" if found.peak is None else f"{found.peak / 1e9:.2f}"]
        apart = "-" if found.apart is None else f"{found.apart[0]} ({found.apart[1]:.2g})"
        lines.append((name, *shown, *totals, *device, apart, f"{first.total.p50 / found.total.p50:.2f}x"))
    return "\n".join([*aligned(lines), REQUEST_NOTE])


def aligned(lines: Sequence[Sequence[str]], titles: dict[int, str] | None = None) -> Iterator[str]:
    """The first column to the left, the others to the right; titles: what stands above a line, by its number. A line
    of two cells has a remark in the second.
    """
    widths = [max(len(line[i]) for line in lines if len(line) > 2) for i in range(len(lines[0]))]
    widths[0] = max(len(line[0]) for line in lines)
    for number, (name, *cells) in enumerate(lines):
        if titles and number in titles:
            yield titles[number]
        shown = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False)] if len(cells) > 1 else cells
        yield "  ".join([name.ljust(widths[0]), *shown]).rstrip()


def _title(row: Row) -> str:
    size = f"{row.bytes / 1e6:.4g} MB, {row.flop / 1e9:.4g} GFLOP, floor {row.floor * 1e3:.4g} ms"
    return f"{row.op} {row.shape} {row.dtype} ({', '.join(row.families)}): {size}{'' if row.beyond_cache else ' *'}"


def _peer_lines(row: Row) -> Iterator[tuple[str, ...]]:
    eager = row.peers.get(EAGER)
    for name, peer in row.peers.items():
        if peer.missing is not None:
            yield f"  {name}", peer.missing
        elif peer.seconds is not None:
            yield (f"  {name}", *_cells(peer, eager))


def _cells(peer: Peer, eager: Peer | None) -> Iterator[str]:
    assert peer.seconds is not None and peer.bytes_per_s is not None
    assert peer.flop_per_s is not None and peer.share is not None
    for seconds in (peer.seconds.p50, peer.seconds.p20, peer.seconds.p80):
        yield f"{seconds * 1e3:.4g}"
    yield f"{peer.bytes_per_s / 1e9:.4g}"
    yield f"{peer.flop_per_s / 1e12:.3g}"
    yield f"{peer.share:.2f}"
    yield "-" if peer.launches is None else str(peer.launches)
    yield "-" if peer.error is None else f"{peer.error.rms:.1e}{' WRONG' * (peer.right is False)}"
    yield "-" if peer.error is None else f"{peer.error.max:.1e}"
    yield "-" if eager is None or eager.seconds is None else f"{median(eager) / median(peer):.2f}x"
