"""The fuse tree as rows over groups, built once per problem.

A *group* is all connectors at one node with the same phases: they meet the same limits. A *row* says
``sum(coefficient * group total) <= cap``. Packing rows (fuses, kW) have positive coefficients; difference rows (phase
imbalance) have +1 and -1. Rows that can never bind, because the maxima below them and the fuses between do not reach
the cap, are left out: in a usual car park that is most of them.

Cost: O(connectors + groups * depth).
"""

from __future__ import annotations

import msgspec

from evse.domain.base import ConfigError
from evse.planner.ac_problem import PHASES, AcProblem, ceiling_ma, phases_of

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


class _Builder:
    """Rows while a model is built."""

    def __init__(self, problem: AcProblem) -> None:
        nodes = problem.nodes
        self.index = {node.id: i for i, node in enumerate(nodes)}
        self.parent = [self._parent_of(problem, i) for i in range(len(nodes))]
        self.order = top_down(self.parent)
        self.cap = [
            [max(0, limit - load) for limit, load in zip(node.limit_ma, node.background_ma, strict=True)]
            for node in nodes
        ]
        self.power_cap = [
            None
            if node.limit_w is None
            else max(0, node.limit_w * 1_000_000 // problem.voltage_mv - sum(node.background_ma))
            for node in nodes
        ]
        self.caps: list[int] = []
        self.diff_caps: list[int] = []
        self.fuse_row: list[list[int]] = [[-1] * PHASES for _ in nodes]
        self.power_row = [-1] * len(nodes)
        self.diff_rows: list[list[tuple[int, int, int]]] = [[] for _ in nodes]

    def _parent_of(self, problem: AcProblem, index: int) -> int:
        name = problem.nodes[index].parent
        if name is None:
            return -1
        if name not in self.index:
            raise ConfigError([f"nodes[{index}].parent = {name!r}: no such node"])
        return self.index[name]

    def rows(self, problem: AcProblem, own: list[list[int]]) -> None:
        """Make the rows that can bind. ``own`` = sum of the maxima of the connectors at each node, per phase."""
        reach = [list(row) for row in own]  # most that can flow on each phase, with the fuses below
        total = [sum(row) for row in own]
        for n in reversed(self.order):
            flow, cap = reach[n], self.cap[n]
            for p in range(PHASES):
                if flow[p] > cap[p]:
                    self.fuse_row[n][p] = len(self.caps)
                    self.caps.append(cap[p])
                    flow[p] = cap[p]
            most = min(total[n], sum(flow))
            power_cap = self.power_cap[n]
            if power_cap is not None and most > power_cap:
                self.power_row[n] = len(self.caps)
                self.caps.append(power_cap)
                most = power_cap
            node = problem.nodes[n]
            if node.imbalance_ma is not None:
                for p, q in _PAIRS:
                    room = max(0, node.imbalance_ma - (node.background_ma[p] - node.background_ma[q]))
                    if flow[p] > room:
                        self.diff_rows[n].append((len(self.diff_caps), p, q))
                        self.diff_caps.append(room)
            up = self.parent[n]
            if up >= 0:
                for p in range(PHASES):
                    reach[up][p] += flow[p]
                total[up] += most

    def entries(self, node: int, phases: tuple[int, ...]) -> tuple[list[Entry], list[Entry]]:
        """Packing and difference rows of a group, from its node to the root."""
        rows: list[Entry] = []
        diffs: list[Entry] = []
        while node >= 0:
            fuse = self.fuse_row[node]
            rows.extend((fuse[p], 1) for p in phases if fuse[p] >= 0)
            if self.power_row[node] >= 0:
                rows.append((self.power_row[node], len(phases)))
            for row, p, q in self.diff_rows[node]:
                if (p in phases) != (q in phases):
                    diffs.append((row, 1 if p in phases else -1))
            node = self.parent[node]
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
        stuck = sorted(set(range(len(parent))) - set(order))[0]
        raise ConfigError([f"nodes[{stuck}].parent: the parents form a loop; one node must have parent null"])
    return order


def build(problem: AcProblem) -> Model:
    """Return the rows of ``problem``. Raises `ConfigError` when a node or parent is unknown or parents form a loop."""
    builder = _Builder(problem)
    own = [[0] * PHASES for _ in problem.nodes]
    keys: dict[tuple[int, tuple[int, ...]], int] = {}
    phase_cache: dict[tuple[str, int], tuple[int, ...]] = {}
    candidates: list[int] = []
    members: list[list[int]] = []
    group_of: list[int] = []
    high: list[int] = []
    for i, connector in enumerate(problem.connectors):
        node = builder.index.get(connector.node)
        if node is None:
            raise ConfigError([f"connectors[{i}].node = {connector.node!r}: no such node"])
        shape = (connector.rotation, connector.lines)
        phases = phase_cache.get(shape)
        if phases is None:
            phases = phase_cache[shape] = phases_of(connector)
        key = (node, phases)
        group = keys.get(key)
        if group is None:
            group = keys[key] = len(members)
            members.append([])
        ceiling = ceiling_ma(connector)
        group_of.append(group)
        high.append(ceiling)
        if ceiling > 0:
            candidates.append(i)
            members[group].append(i)
            flow = own[node]
            for p in phases:
                flow[p] += ceiling
    builder.rows(problem, own)
    packing = len(builder.caps)
    caps = builder.caps + builder.diff_caps
    row_groups: list[list[Entry]] = [[] for _ in caps]
    group_rows: list[tuple[Entry, ...]] = []
    group_diffs: list[tuple[Entry, ...]] = []
    for (node, phases), group in keys.items():
        rows, diffs = builder.entries(node, phases)
        diffs = [(packing + row, sign) for row, sign in diffs]
        group_rows.append(tuple(rows))
        group_diffs.append(tuple(diffs))
        for row, coefficient in (*rows, *diffs):
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
