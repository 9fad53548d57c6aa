"""The fuse tree as rows over groups, built once per problem.

A *group* is all connectors at one node with the same phases: they meet the same limits. A *row* says
``sum(coefficient * group total) <= cap``. Packing rows (fuses, kW) have positive coefficients; difference rows (phase
imbalance) have +1 and -1. Rows that can never bind, because the maxima below them and the fuses between do not reach
the cap, are left out: in a usual car park that is most of them. So is what another row says already: fuses one behind the other
with nobody between them are one row with the smallest limit, and fuses no smaller than one above them are none.

Cost: O(nodes + connectors + groups * rows above them).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from evse.domain.base import ConfigError
from evse.planner.ac_problem import MAX_CONNECTORS, PHASES, UNLIMITED_MA, AcNode, AcProblem, ceiling_ma, phases_of

Entry = tuple[int, int]
"""(row, coefficient) in a list of a group, (group, coefficient) in a list of a row."""

_PAIRS = tuple((p, q) for p in range(PHASES) for q in range(PHASES) if p != q)


class Model(msgspec.Struct, kw_only=True):
    """A problem as arrays. ``row_cap_ma[:packing]`` are packing rows, the rest difference rows.

    ``low_ma`` and ``high_ma`` per connector; ``candidates`` = those that could be on at all.
    """

    candidates: list[int]
    group_of: list[int]
    low_ma: list[int]
    high_ma: list[int]
    weight_ppm: list[int]
    members: list[list[int]]  # candidates per group
    packing: int
    row_cap_ma: list[int]
    row_groups: list[list[Entry]]
    group_rows: list[tuple[Entry, ...]]  # packing rows only
    group_diffs: list[tuple[Entry, ...]]  # difference rows only
    fuses: list[tuple[int, ...]]  # the rows of each node whose fuses could bind on two or three phases

    @property
    def has_differences(self) -> bool:
        """True when an imbalance limit could bind."""
        return len(self.row_cap_ma) > self.packing


class _Shape(msgspec.Struct, frozen=True):
    """What nodes are below what."""

    index: dict[str, int]
    parent: list[int]
    order: list[int]  # parents before children


@lru_cache(maxsize=4)
def _shape(names: tuple[tuple[str, str | None], ...]) -> _Shape:
    """Shape of a tree of (node, parent). Raises `ConfigError` when a parent is unknown or parents form a loop."""
    index = {name: i for i, (name, _) in enumerate(names)}
    parent = []
    for i, (_, up) in enumerate(names):
        if up is not None and up not in index:
            raise ConfigError([f"nodes[{i}].parent = {up!r}: no such node"])
        parent.append(-1 if up is None else index[up])
    return _Shape(index, parent, top_down(parent))


class _Builder:
    """Rows while a model is built. They hang at the lowest node that has the same connectors below it."""

    def __init__(self, problem: AcProblem) -> None:
        nodes = problem.nodes
        shape = _shape(tuple([(node.id, node.parent) for node in nodes]))
        self.index, self.parent, self.order = shape.index, shape.parent, shape.order
        self.caps: list[int] = []
        self.diff_caps: list[int] = []
        self.fuse_row: list[list[int]] = [[-1] * PHASES for _ in nodes]
        self.power_row = [-1] * len(nodes)
        self.diff_rows: list[dict[tuple[int, int], int]] = [{} for _ in nodes]
        self.first = [-1] * len(nodes)  # the next node upwards, this one too, that has rows
        self.next = [-1] * len(nodes)  # the next one above it

    def rows(self, problem: AcProblem, own: list[list[int]]) -> None:
        """Make the rows that can bind. ``own`` = sum of the maxima of the connectors at each node, per phase."""
        reach = [list(row) for row in own]  # most that can flow on each phase, with the fuses below
        total = [sum(row) for row in own]
        feeds = [[n] if total[n] else [] for n in range(len(own))]  # nodes whose connectors are all that are below, one each
        for n in reversed(self.order):
            if not feeds[n]:
                continue
            at = feeds[n][0] if len(feeds[n]) == 1 else n
            most = self._node(problem, problem.nodes[n], at, reach[n], total[n])
            up = self.parent[n]
            if up >= 0:
                for p in range(PHASES):
                    reach[up][p] += reach[n][p]
                total[up] += most
                feeds[up].append(at)
        self._drop()
        for n in self.order:
            up = self.parent[n]
            self.next[n] = self.first[up] if up >= 0 else -1
            here = self.power_row[n] >= 0 or self.diff_rows[n] or max(self.fuse_row[n]) >= 0
            self.first[n] = n if here else self.next[n]

    def _node(self, problem: AcProblem, node: AcNode, at: int, flow: list[int], total: int) -> int:
        """Rows of one node, kept at ``at``. ``flow`` is cut to what its fuses let through; returns the most of all phases."""
        fuse, other = self.fuse_row[at], node.background_ma
        for p in range(PHASES):
            cap = max(0, node.limit_ma[p] - other[p])
            if flow[p] > cap:
                fuse[p] = self._row(self.caps, fuse[p], cap)
                flow[p] = cap
        most = min(total, sum(flow))
        if node.limit_w is not None:
            power = max(0, node.limit_w * 1_000_000 // problem.voltage_mv - sum(other))
            if most > power:
                self.power_row[at] = self._row(self.caps, self.power_row[at], power)
                most = power
        if node.imbalance_ma is not None:
            rows = self.diff_rows[at]
            for p, q in _PAIRS:
                room = max(0, node.imbalance_ma - (other[p] - other[q]))
                if flow[p] > room:
                    rows[p, q] = self._row(self.diff_caps, rows.get((p, q), -1), room)
        return most

    @staticmethod
    def _row(caps: list[int], row: int, cap: int) -> int:
        """A new row, or the one of the same connectors with the smaller limit."""
        if row < 0:
            caps.append(cap)
            return len(caps) - 1
        caps[row] = min(caps[row], cap)
        return row

    def _drop(self) -> None:
        """Leave out the fuses of nodes that let through no less than fuses above them."""
        bound: list[list[int]] = [[]] * len(self.parent)  # the smallest cap here and above
        gone: set[int] = set()
        for n in self.order:
            up = self.parent[n]
            above = [UNLIMITED_MA * MAX_CONNECTORS] * PHASES if up < 0 else bound[up]
            fuse = self.fuse_row[n]
            mine = [(p, row) for p, row in enumerate(fuse) if row >= 0]
            if mine and all(self.caps[row] >= above[p] for p, row in mine):
                gone.update(row for _, row in mine)
                self.fuse_row[n] = [-1] * PHASES
            elif mine:
                above = above[:]
                for p, row in mine:
                    above[p] = min(above[p], self.caps[row])
            bound[n] = above
        if gone:
            kept = [row for row in range(len(self.caps)) if row not in gone]
            place = {row: k for k, row in enumerate(kept)} | {-1: -1}
            self.caps = [self.caps[row] for row in kept]
            self.fuse_row = [[place[row] for row in fuse] for fuse in self.fuse_row]
            self.power_row = [place[row] for row in self.power_row]

    def entries(self, node: int, phases: tuple[int, ...]) -> tuple[list[Entry], list[Entry]]:
        """Packing and difference rows of a group, from its node to the root."""
        rows: list[Entry] = []
        diffs: list[Entry] = []
        packing, count = len(self.caps), len(phases)
        at = self.first[node]
        while at >= 0:
            fuse = self.fuse_row[at]
            for p in phases:
                if fuse[p] >= 0:
                    rows.append((fuse[p], 1))
            if self.power_row[at] >= 0:
                rows.append((self.power_row[at], count))
            for (p, q), row in self.diff_rows[at].items():
                if (p in phases) != (q in phases):
                    diffs.append((packing + row, 1 if p in phases else -1))
            at = self.next[at]
        return rows, diffs


def top_down(parent: list[int]) -> list[int]:
    """Order of the nodes with parents before children. Raises `ConfigError` on a loop."""
    children: list[list[int]] = [[] for _ in parent]
    order: list[int] = []
    for n, up in enumerate(parent):
        if up < 0:
            order.append(n)
        else:
            children[up].append(n)
    for n in order:
        order.extend(children[n])
    if len(order) != len(parent):
        stuck = min(set(range(len(parent))) - set(order))
        raise ConfigError([f"nodes[{stuck}].parent: the parents form a loop; one node must have parent null"])
    return order


def build(problem: AcProblem) -> Model:
    """Return the rows of ``problem``. Raises `ConfigError` when a node or parent is unknown or parents form a loop."""
    builder = _Builder(problem)
    shapes: dict[tuple[str, str, int], int] = {}  # node, rotation, lines: group
    keys: dict[tuple[int, tuple[int, ...]], int] = {}
    candidates: list[int] = []
    members: list[list[int]] = []
    group_of: list[int] = []
    high: list[int] = []
    flow: list[int] = []
    for i, connector in enumerate(problem.connectors):
        shape = (connector.node, connector.rotation, connector.lines)
        group = shapes.get(shape, -1)
        if group < 0:
            node = builder.index.get(connector.node)
            if node is None:
                raise ConfigError([f"connectors[{i}].node = {connector.node!r}: no such node"])
            group = shapes[shape] = keys.setdefault((node, phases_of(connector)), len(members))
            if group == len(members):
                members.append([])
                flow.append(0)
        ceiling = ceiling_ma(connector)
        group_of.append(group)
        high.append(ceiling)
        if ceiling > 0:
            candidates.append(i)
            members[group].append(i)
            flow[group] += ceiling
    own = [[0] * PHASES for _ in problem.nodes]
    for (node, phases), group in keys.items():
        for p in phases:
            own[node][p] += flow[group]
    builder.rows(problem, own)
    packing = len(builder.caps)
    caps = builder.caps + builder.diff_caps
    row_groups: list[list[Entry]] = [[] for _ in caps]
    group_rows: list[tuple[Entry, ...]] = []
    group_diffs: list[tuple[Entry, ...]] = []
    for (node, phases), group in keys.items():
        rows, diffs = builder.entries(node, phases) if members[group] else ([], [])
        group_rows.append(tuple(rows))
        group_diffs.append(tuple(diffs))
        for row, coefficient in rows:
            row_groups[row].append((group, coefficient))
        for row, coefficient in diffs:
            row_groups[row].append((group, coefficient))
    return Model(
        candidates=candidates,
        group_of=group_of,
        low_ma=[c.min_ma for c in problem.connectors],
        high_ma=high,
        weight_ppm=[c.weight_ppm for c in problem.connectors],
        members=members,
        packing=packing,
        row_cap_ma=caps,
        row_groups=row_groups,
        group_rows=group_rows,
        group_diffs=group_diffs,
        fuses=[found for rows in builder.fuse_row if len(found := tuple(r for r in rows if r >= 0)) > 1],
    )
