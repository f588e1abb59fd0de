"""Pictures of what was measured: a roofline, and bars beside each other. Needs matplotlib."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fewstep.profile.ceilings import Ceilings
from fewstep.profile.pipeline import Request, stages_in_order
from fewstep.profile.row import EAGER, Row, median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
ROW_INCHES = 0.5


def kernel_plot(rows: Sequence[Row], ceilings: Ceilings) -> bytes:
    """A PNG: the roofline above, speed over eager PyTorch by case below."""
    figure = _figure(12, 7 + ROW_INCHES * len(rows))
    above, below = figure.subplots(2, 1, height_ratios=[6, 1 + ROW_INCHES * len(rows)])
    roofline(above, rows, ceilings)
    speed_bars(below, rows)
    return png(figure)


def roofline(axes: "Axes", rows: Sequence[Row], ceilings: Ceilings) -> None:
    """Every peer of every case that computes at its arithmetic intensity, beneath the measured roofs."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, peer in row.peers.items():
            if peer.flop_per_s:
                points.setdefault(name, []).append((row.flop / row.bytes, peer.flop_per_s))
    intensities = [x for at in points.values() for x, _ in at] or [1.0]
    x = np.geomspace(min(intensities) / 4, max(*intensities, max(ceilings.product.values()) / ceilings.copy) * 4, 200)
    for dtype, rate in ceilings.product.items():
        axes.plot(x, np.minimum(rate, ceilings.copy * x), color="0.6", lw=1)
        axes.annotate(dtype, (x[-1], rate), ha="right", va="bottom", color="0.4")
    for name, at in points.items():
        axes.scatter([x for x, _ in at], [y for _, y in at], s=22, label=name, alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="FLOP / byte of memory", ylabel="FLOP/s", title="Roofline, measured")
    if points:
        axes.legend()


def speed_bars(axes: "Axes", rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name, p in row.peers.items() if p.seconds and name != EAGER))
    height = 0.8 / max(1, len(names))
    for j, name in enumerate(names):
        for i, row in enumerate(rows):
            peer, eager = row.peers.get(name), row.peers.get(EAGER)
            if peer and peer.seconds and eager and eager.seconds:
                axes.barh(i + j * height, median(eager) / median(peer), height, color=f"C{j + 1}")
        axes.barh(0, 0, color=f"C{j + 1}", label=name)
    axes.axvline(1, color="0.6", lw=1)
    axes.set_yticks(np.arange(len(rows)) + 0.4 - height / 2, [f"{r.op} {r.shape} {r.dtype}" for r in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="times as fast as eager PyTorch")
    if names:
        axes.legend()


def request_plot(requests: Mapping[str, Request]) -> bytes:
    """A PNG: a bar a peer, the medians of its stages one after the other."""
    measured = {name: found for name, found in requests.items() if found.total is not None}
    figure = _figure(12, 2 + ROW_INCHES * 2 * len(measured))
    axes = figure.subplots()
    colours = {stage: f"C{i % 10}" for i, stage in enumerate(stages_in_order(requests))}
    for name, found in measured.items():
        left = 0.0
        for stage, seconds in (found.stages or {}).items():
            axes.barh(name, seconds.p50 * 1e3, left=left, color=colours[stage])
            left += seconds.p50 * 1e3
        assert found.total is not None
        low, high = (abs(edge - found.total.p50) * 1e3 for edge in (found.total.p20, found.total.p80))
        axes.errorbar(found.total.p50 * 1e3, name, xerr=[[low], [high]], fmt="k|", capsize=3)
    for stage, colour in colours.items():
        axes.barh(0, 0, color=colour, label=stage)
    axes.invert_yaxis()
    axes.set(xlabel="ms: stages at their medians; black: the whole request by the host's clock, p20 to p80")
    if colours:
        axes.legend()
    return png(figure)


def png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
