"""What was rewritten, and what was left as it is and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch.fx import Graph, Node

from fewstep.engine.backends.torch.fuse.graph import aten, calls

WATCHED = (  # operations that a kernel exists for: each one that stays is accounted for
    aten.scaled_dot_product_attention.default,
    aten.group_norm.default,
    aten.layer_norm.default,
    aten.rms_norm.default,
    aten.upsample_nearest2d.vec,
)


@dataclass(frozen=True)
class Left:
    """A node that runs as PyTorch's own operation."""

    op: str
    node: str
    why: str


@dataclass
class Report:
    """fused: how often each rewriting was done. left: what no kernel serves, filled in when the rewriting is over."""

    fused: Counter[str] = field(default_factory=Counter)
    left: Sequence[Left] = ()
    _reasons: dict[str, str] = field(default_factory=dict)

    def fuse(self, name: str, count: int = 1) -> None:
        self.fused[name] += count

    def leave(self, node: Node, why: str) -> None:
        self._reasons[node.name] = why

    def close(self, graph: Graph) -> None:
        """Account for every watched operation that is still there."""
        self.left = tuple(
            Left(str(node.target).removeprefix("aten."), node.name, self._reasons.get(node.name, "no pattern fits"))
            for node in calls(graph, *WATCHED)
        )

    def __str__(self) -> str:
        lines = [f"{count:4d} x {name}" for name, count in sorted(self.fused.items())]
        kept = Counter((left.op, left.why) for left in self.left)
        return "\n".join(lines + [f"{count:4d} x {op} left: {why}" for (op, why), count in sorted(kept.items())])
