"""The most connectors that can be on together under fuses and kW limits, and of all such sets the first in the order.

Connectors with the same node, phases, minimum and class are interchangeable: of each such *kind* only the number counts,
the first of it are on. Small subtrees are enumerated, as tables from what they take to their best set. What larger nodes
limit gets prices (Lagrange multipliers, found in floating point, then whole numbers): with them every subtree stands alone,
so the sum of their best values is a bound on the number. Then the tables are merged up the tree; a combination that falls
behind the bound by more than the number to prove permits is dropped, which leaves few. What is found is proven, whatever
the prices were: bad ones only make more work.

Exact on whole numbers. `Spent` after a number of combinations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import gcd, inf

import msgspec

from evse.planner.ac_problem import PHASES, AcProblem, phases_of
from evse.planner.tree import Model, top_down

UNIT_STATES = 600
"""A subtree with no more sets that differ in what they take is enumerated."""

WORK_MAX = 80_000
"""Combinations tried in one plan, 1 to 2 us each. A car park of a thousand connectors on three storeys needs some 50 000; what
needs more is for `ac_whole`."""

WORK_EACH = 60
"""Combinations for each connector, where that is more."""

WORK_LAST = 600_000
"""The same where that was not enough either."""

ROUNDS = 400
"""Steps towards the best prices."""

PATIENCE = 12
"""Steps without a better bound before they get shorter."""

SCALE = 1_000_000
FIELD = 40
"""Bits of a number in a packed key: what is taken on L1, L2, L3, then the number of each class."""

MASK = (1 << FIELD) - 1

Table = dict[int, int]
"""Packed (what is taken, numbers) to the best set: a bit per connector, the first in the order highest."""

Entry = tuple[int, int, int]
"""(how far behind the best, packed key, set)."""


class Spent(Exception):
    """The bound of the search is reached. ``chosen`` = the best set of the classes that were proven, ``most`` = their numbers
    and a bound on the next one."""

    def __init__(self, chosen: Sequence[int] = (), most: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.chosen, self.most = chosen, most


class _Node(msgspec.Struct):
    """A fuse: what is left per phase and in total (None = cannot bind), in steps of all minimums."""

    fuse: list[int | None]
    power: int | None
    children: list[int]
    parent: int
    kinds: list[tuple[tuple[int, ...], int, int, list[int]]]  # phases, steps, class, connectors in the order
    kept: tuple[bool, bool, bool] = (False, False, False)  # phases that a node above may limit
    table: Table | None = None
    priced: bool = False


class _Unit(msgspec.Struct):
    """A table below a priced node. ``front`` = (numbers, what is taken) of the sets that no other beats."""

    node: int
    table: Table
    front: list[tuple[tuple[int, ...], int, int, int]]


def most(problem: AcProblem, model: Model, order: Sequence[int], known: Sequence[int], work_max: int = WORK_MAX) -> list[int]:
    """The connectors that are on: the largest number per priority class, then the first in ``order``.

    ``known`` = any set that fits, the better the less work. Raises `Spent`, after ``work_max`` combinations (or `WORK_EACH` for each
    connector). Difference rows are not looked at.
    """
    work_max = max(work_max, WORK_EACH * len(order))
    ranks = sorted({problem.connectors[i].priority for i in order}, reverse=True)
    chosen: list[int] = []
    fixed: tuple[int, ...] = ()
    work = [0]
    for r in range(len(ranks)):
        inside = [i for i in order if problem.connectors[i].priority >= ranks[r]]
        search = _Search(problem, model, inside, ranks[: r + 1], work, work_max)
        reached = counts(problem, known, ranks[: r + 1])
        try:
            chosen, number = search.best(fixed, reached[r] if reached[:r] == fixed else 0)
        except Spent:
            raise Spent(chosen, (*fixed, search.bound)) from None
        fixed = (*fixed, number)
    return chosen


def counts(problem: AcProblem, chosen: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
    """How many of each class are on."""
    return tuple(sum(problem.connectors[i].priority == rank for i in chosen) for rank in ranks)


class _Search:
    """One question: classes above the last have their numbers, the last one shall have as many as possible."""

    def __init__(
        self, problem: AcProblem, model: Model, order: Sequence[int], ranks: Sequence[int], work: list[int], work_max: int
    ) -> None:
        self.order, self.ranks, self.work, self.work_max = order, ranks, work, work_max
        self.bound = len(order)  # on the number of the last class
        self.bit = {i: 1 << (len(order) - 1 - k) for k, i in enumerate(order)}
        step = gcd(*(model.low_ma[i] for i in order)) or 1
        index = {node.id: n for n, node in enumerate(problem.nodes)}
        self.nodes = [
            _Node(
                fuse=[max(0, limit - load) // step for limit, load in zip(node.limit_ma, node.background_ma, strict=True)],
                power=None if node.limit_w is None
                else max(0, node.limit_w * 1_000_000 // problem.voltage_mv - sum(node.background_ma)) // step,
                children=[], parent=-1 if node.parent is None else index[node.parent], kinds=[],
            )
            for node in problem.nodes
        ]  # fmt: skip
        found: dict[tuple[int, tuple[int, ...], int, int], list[int]] = {}
        for i in order:
            c = problem.connectors[i]
            found.setdefault((index[c.node], phases_of(c), c.min_ma // step, ranks.index(c.priority)), []).append(i)
        for (n, phases, steps, rank), members in found.items():
            self.nodes[n].kinds.append((phases, steps, rank, members))
        for n, node in enumerate(self.nodes):
            if node.parent >= 0:
                self.nodes[node.parent].children.append(n)
        self.topdown = top_down([node.parent for node in self.nodes])
        self._drop_rows()
        self.units: list[_Unit] = []
        for n in reversed(self.topdown):
            self._enumerate(n)

    # -- the tree -------------------------------------------------------------------------------------------------------

    def _drop_rows(self) -> None:
        """Forget limits that the minimums below cannot fill, and note which phases matter above a node."""
        reach = [[0] * PHASES for _ in self.nodes]
        total = [0] * len(self.nodes)
        for n in reversed(self.topdown):
            node, flow = self.nodes[n], reach[n]
            for phases, steps, _, members in node.kinds:
                for p in phases:
                    flow[p] += steps * len(members)
                total[n] += steps * len(members) * len(phases)
            for p in range(PHASES):
                cap = node.fuse[p]
                assert cap is not None
                if flow[p] <= cap:
                    node.fuse[p] = None
                flow[p] = min(flow[p], cap)
            total[n] = min(total[n], sum(flow))
            if node.power is not None:
                if total[n] <= node.power:
                    node.power = None
                else:
                    total[n] = node.power
            if node.parent >= 0:
                for p in range(PHASES):
                    reach[node.parent][p] += flow[p]
                total[node.parent] += total[n]
        for n in self.topdown:
            up = self.nodes[n].parent
            if up >= 0:
                above = self.nodes[up]
                kept = [above.kept[p] or above.fuse[p] is not None or above.power is not None for p in range(PHASES)]
                self.nodes[n].kept = (kept[0], kept[1], kept[2])

    def _kind_table(self, kind: tuple[tuple[int, ...], int, int, list[int]]) -> Table:
        phases, steps, rank, members = kind
        one = sum(steps << (FIELD * p) for p in phases) + (1 << (FIELD * (PHASES + rank)))
        table, key, chosen = {0: 0}, 0, 0
        for i in members:
            key += one
            chosen |= self.bit[i]
            table[key] = chosen
        return table

    def _enumerate(self, n: int) -> None:
        """Make the table of a subtree, or, when it would be too large, units of its parts."""
        node = self.nodes[n]
        parts = [(n, self._kind_table(kind)) for kind in node.kinds]
        for child in node.children:
            table = self.nodes[child].table
            if table is None:
                node.priced = True
            else:
                parts.append((child, table))
        table = {0: 0}
        for _, part in parts:
            if node.priced or len(table) * len(part) > 50 * UNIT_STATES:
                node.priced = True
                break
            table = self._joined(table.items(), part.items(), node)
            if len(table) > UNIT_STATES:
                node.priced = True
                break
        if not node.priced:
            node.table = self._projected(table, node)
            if node.parent < 0:
                self.units.append(_Unit(node=n, table=node.table, front=_front(node.table, len(self.ranks))))
            return
        for _, part in parts:
            self.units.append(_Unit(node=n, table=part, front=_front(part, len(self.ranks))))

    def _fits(self, key: int, node: _Node) -> bool:
        a, b, c = key & MASK, key >> FIELD & MASK, key >> 2 * FIELD & MASK
        x, y, z = node.fuse
        return not (
            (x is not None and a > x) or (y is not None and b > y) or (z is not None and c > z)
            or (node.power is not None and a + b + c > node.power)
        )  # fmt: skip

    def _joined(self, left: Iterable[tuple[int, int]], right: Iterable[tuple[int, int]], node: _Node) -> Table:
        out: Table = {}
        right = list(right)
        for ka, ma in left:
            for kb, mb in right:
                key = ka + kb
                chosen = ma | mb
                if chosen > out.get(key, -1) and (key in out or self._fits(key, node)):
                    out[key] = chosen
        return out

    def _projected(self, table: Table, node: _Node) -> Table:
        """Forget what is taken on phases that nothing above limits."""
        if all(node.kept):
            return table
        drop = sum(MASK << (FIELD * p) for p in range(PHASES) if not node.kept[p])
        out: Table = {}
        for key, chosen in table.items():
            key &= ~drop
            if chosen > out.get(key, -1):
                out[key] = chosen
        return out

    # -- prices ---------------------------------------------------------------------------------------------------------

    def _prices(self, fixed: Sequence[int], target: float) -> tuple[list[list[int]], list[int]]:
        """Whole prices per priced node (L1, L2, L3, total) and the worth of a connector of each class, in `SCALE`."""
        priced = [n for n in self.topdown if self.nodes[n].priced]
        caps = {n: [*self.nodes[n].fuse, self.nodes[n].power] for n in priced}
        price = {n: [0.0] * (PHASES + 1) for n in priced}
        worth = [1.0] * len(self.ranks)
        best, kept, theta, since = inf, (price, worth), 1.0, 0
        for _ in range(ROUNDS):
            value, slack, numbers = self._bound(priced, caps, price, worth)
            value -= sum(w * c for w, c in zip(worth, fixed, strict=False))
            over = [c - f for c, f in zip(numbers, fixed, strict=False)]
            since += 1
            if value < best - 1e-4:
                best, since, kept = value, 0, ({n: list(p) for n, p in price.items()}, list(worth))
            elif since >= PATIENCE:
                if theta < 1e-3:
                    break
                theta, since, price, worth = theta / 2, 0, {n: list(p) for n, p in kept[0].items()}, list(kept[1])
                continue
            size = sum(g * g for n in priced for g, p in zip(slack[n], price[n], strict=True) if g < 0 or p > 0) + sum(g * g for g in over)
            if not size:
                break
            length = theta * max(0.05, value - target) / size
            for n in priced:
                price[n] = [
                    0.0 if cap is None else max(0.0, p - length * g) for p, g, cap in zip(price[n], slack[n], caps[n], strict=True)
                ]
            worth = [*(max(0.0, w - length * g) for w, g in zip(worth, over, strict=False)), 1.0]
        price, worth = kept
        whole = [[round(p * SCALE) for p in price[n]] if n in price else [0] * (PHASES + 1) for n in range(len(self.nodes))]
        return whole, [round(w * SCALE) for w in worth]

    def _bound(
        self, priced: list[int], caps: dict[int, list[int | None]], price: dict[int, list[float]], worth: list[float]
    ) -> tuple[float, dict[int, list[float]], list[int]]:
        """The bound for these prices, what is left over in every limit, and the numbers of each class."""
        path: dict[int, tuple[float, float, float]] = {}
        value = 0.0
        for n in priced:
            a, b, c, t = price[n]
            x, y, z = path.get(self.nodes[n].parent, (0.0, 0.0, 0.0))
            path[n] = (x + a + t, y + b + t, z + c + t)
            value += sum(p * cap for p, cap in zip(price[n], caps[n], strict=True) if cap is not None)
        used = {n: [0.0] * PHASES for n in priced}
        counts = [0] * len(self.ranks)
        single = len(self.ranks) == 1
        for unit in self.units:
            x, y, z = path.get(unit.node, (0.0, 0.0, 0.0))
            if single:
                won, row = max((r[0][0] - x * r[1] - y * r[2] - z * r[3], r) for r in unit.front)
            else:
                won, row = max((sum(w * k for w, k in zip(worth, r[0], strict=True)) - x * r[1] - y * r[2] - z * r[3], r) for r in unit.front)
            value += won
            for k, number in enumerate(row[0]):
                counts[k] += number
            if unit.node in used:
                mine = used[unit.node]
                mine[0] += row[1]
                mine[1] += row[2]
                mine[2] += row[3]
        slack: dict[int, list[float]] = {}
        for n in reversed(priced):
            mine = used[n]
            up = self.nodes[n].parent
            if up in used:
                for p in range(PHASES):
                    used[up][p] += mine[p]
            full = [*mine, sum(mine)]
            slack[n] = [0.0 if cap is None else cap - u for cap, u in zip(caps[n], full, strict=True)]
        return value, slack, counts

    # -- the proof ------------------------------------------------------------------------------------------------------

    def best(self, fixed: tuple[int, ...], least: int) -> tuple[list[int], int]:
        """The set and its number of the last class, which is ``least`` at least. Raises `Spent`."""
        price, worth = self._prices(fixed, least)
        path = [(0, 0, 0)] * len(self.nodes)
        bound = -sum(w * c for w, c in zip(worth, fixed, strict=False))
        for n in self.topdown:
            node, (a, b, c, total) = self.nodes[n], price[n]
            x, y, z = path[node.parent] if node.parent >= 0 else (0, 0, 0)
            path[n] = x + a + total, y + b + total, z + c + total
            bound += sum(p * cap for p, cap in zip(price[n], [*node.fuse, node.power], strict=True) if cap is not None)
        entries: dict[int, list[list[Entry]]] = {}
        for unit in self.units:
            (a, b, c), rows = path[unit.node], []
            for key, chosen in unit.table.items():
                value = sum(w * (key >> (FIELD * (PHASES + k)) & MASK) for k, w in enumerate(worth))
                rows.append((value - a * (key & MASK) - b * (key >> FIELD & MASK) - c * (key >> 2 * FIELD & MASK), key, chosen))
            top = max(value for value, _, _ in rows)
            bound += top
            entries.setdefault(unit.node, []).append(sorted((top - value, key, chosen) for value, key, chosen in rows))
        for number in range(bound // SCALE, least - 1, -1):
            self.bound = number
            found = self._merged(entries, price, bound - number * SCALE, (*fixed, number))
            if found is not None:
                return [i for i in self.order if found & self.bit[i]], number
        raise AssertionError(f"{least} of the last class are known, and were not found")

    def _merged(self, entries: dict[int, list[list[Entry]]], price: list[list[int]], room: int, numbers: tuple[int, ...]) -> int | None:
        """The best set with these ``numbers``; None = there is none. ``room`` = how far behind the bound it may fall."""
        wanted = sum(c << (FIELD * (PHASES + k)) for k, c in enumerate(numbers))
        done: dict[int, list[Entry]] = {}
        forest: list[Entry] = [(0, 0, 0)]
        for n in reversed(self.topdown):
            node = self.nodes[n]
            parts = list(entries.get(n, ()))
            if not node.priced:
                if node.parent < 0:
                    forest = self._combined(forest, parts[0], room, None)
                continue
            parts += [done.pop(child) for child in node.children if child in done]
            parts.sort(key=len)
            table: list[Entry] = [(0, 0, 0)]
            for part in parts:
                table = self._combined(table, part, room, node)
            table = self._closed(table, node, price[n], room)
            if node.parent < 0:
                forest = self._combined(forest, table, room, None)
            else:
                done[n] = table
        return max((chosen for _, key, chosen in forest if key == wanted), default=None)

    def _combined(self, left: list[Entry], right: list[Entry], room: int, node: _Node | None) -> list[Entry]:
        out: dict[int, tuple[int, int]] = {}
        for la, ka, ma in left:
            rest = room - la
            for lb, kb, mb in right:
                if lb > rest:
                    break
                self.work[0] += 1
                key = ka + kb
                chosen = ma | mb
                old = out.get(key)
                if (old is None and (node is None or self._fits(key, node))) or (old is not None and chosen > old[1]):
                    out[key] = la + lb, chosen
            if self.work[0] > self.work_max:
                raise Spent
        return sorted((behind, key, chosen) for key, (behind, chosen) in out.items())

    def _closed(self, table: list[Entry], node: _Node, price: list[int], room: int) -> list[Entry]:
        """Count what is left over in the limits of a node, and forget what nothing above limits."""
        drop = sum(MASK << (FIELD * p) for p in range(PHASES) if not node.kept[p])
        out: dict[int, tuple[int, int]] = {}
        for behind, key, chosen in table:
            taken = [key & MASK, key >> FIELD & MASK, key >> 2 * FIELD & MASK]
            taken.append(sum(taken))
            behind += sum(p * (cap - u) for p, cap, u in zip(price, [*node.fuse, node.power], taken, strict=True) if cap is not None)
            if behind > room:
                continue
            key &= ~drop
            old = out.get(key)
            if old is None or chosen > old[1]:
                out[key] = (behind, chosen)
        return sorted((behind, key, chosen) for key, (behind, chosen) in out.items())


def _front(table: Table, ranks: int) -> list[tuple[tuple[int, ...], int, int, int]]:
    """The sets of a table that no other beats in numbers with no more taken."""
    rows = []
    for key in table:
        counts = tuple(key >> (FIELD * (PHASES + k)) & MASK for k in range(ranks))
        rows.append((counts, key & MASK, key >> FIELD & MASK, key >> 2 * FIELD & MASK))
    rows.sort(key=lambda r: (r[1] + r[2] + r[3], [-c for c in r[0]]))
    front: list[tuple[tuple[int, ...], int, int, int]] = []
    for row in rows:
        if not any(
            f[1] <= row[1] and f[2] <= row[2] and f[3] <= row[3] and all(a >= b for a, b in zip(f[0], row[0], strict=True)) for f in front
        ):
            front.append(row)
    return front
