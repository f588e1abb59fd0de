"""Pictures of what was measured: a roofline, and bars beside each other. Needs matplotlib."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fewstep.profile.ceilings import Ceilings
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
    """Every peer of every case at its arithmetic intensity, beneath the measured roofs."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, peer in row.peers.items():
            if peer.flop_per_s is not None:
                points.setdefault(name, []).append((row.flop / row.bytes, peer.flop_per_s))
    intensities = [x for at in points.values() for x, _ in at] or [1.0]
    x = np.geomspace(min(intensities) / 4, max(*intensities, max(ceilings.product.values()) / ceilings.copy) * 4, 200)
    for dtype, rate in ceilings.product.items():
        axes.plot(x, np.minimum(rate, ceilings.copy * x), color="0.6", lw=1)
        axes.annotate(dtype, (x[-1], rate), ha="right", va="bottom", color="0.4")
    for name, at in points.items():
        axes.scatter([x for x, _ in at], [y for _, y in at], s=22, label=name, alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="FLOP / byte of memory", ylabel="FLOP/s", title="Roofline, measured")
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
    axes.legend()


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
