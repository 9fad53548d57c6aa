"""Water-filling: everybody rises together, in amps per weight, until a row is full or a maximum is reached.

One sweep over the events of a class (a connector starts to rise above its minimum, reaches its maximum, a row is full).
Rows keep what stands still and the slope of what rises; a heap holds the level at which each is full. That level only
rises when somebody leaves, so an old entry is recomputed when it comes up. Packing rows make the result the leximax
optimum (planner.md, "Certificate").

Inside: nanoampere per weight 1, so that rounding over ten thousand connectors stays far below a milliampere.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from evse.planner.ac_problem import PPM, AcCut
from evse.planner.tree import Model

NA_PER_MA = 1_000_000


class Filler:
    """Rows of a model plus cuts, and the sweep over one class after the other."""

    def __init__(self, model: Model, on: list[int], cuts: list[AcCut]) -> None:
        self.model = model
        rows = model.packing
        self.cap = [cap * NA_PER_MA for cap in model.row_cap_ma[:rows]] + [cut.cap_na for cut in cuts]
        self.row_groups = model.row_groups[:rows] + [list(cut.coefficients) for cut in cuts]
        self.group_rows = model.group_rows
        if cuts:
            lists = [list(entries) for entries in model.group_rows]
            for k, cut in enumerate(cuts):
                for group, coefficient in cut.coefficients:
                    lists[group].append((rows + k, coefficient))
            self.group_rows = [tuple(entries) for entries in lists]
        self.still = [0] * len(self.cap)  # nA of everybody who does not rise, with coefficients
        self.slope = [0] * len(self.cap)  # ppm of weight of everybody who rises
        self.x = [0] * len(model.low_ma)
        totals = [0] * len(model.members)
        for i in on:
            low = model.low_ma[i] * NA_PER_MA
            self.x[i] = low
            totals[model.group_of[i]] += low
        for group, total in enumerate(totals):
            if total:
                for row, coefficient in self.group_rows[group]:
                    self.still[row] += coefficient * total

    def fill(self, on: list[int]) -> None:
        """Raise the connectors ``on`` (one class) as far as the rows allow; everybody else stands still."""
        group_of, weight, x = self.model.group_of, self.model.weight_ppm, self.x
        low = self.model.low_ma
        high = self.model.high_ma
        starts: list[tuple[int, int]] = []
        ends: list[tuple[int, int]] = []
        scale = NA_PER_MA * PPM
        for i in on:
            w = weight[i]
            if low[i] == high[i]:
                continue
            starts.append((-(-low[i] * scale // w), i))
            ends.append((high[i] * scale // w, i))
        starts.sort(reverse=True)
        ends.sort(reverse=True)
        cap, still, slope, group_rows = self.cap, self.still, self.slope, self.group_rows
        rising: dict[int, list[int]] = {}
        state = bytearray(len(x))  # 1 = rising
        closed_group = bytearray(len(group_rows))
        closed_row = bytearray(len(cap))
        heap: list[tuple[int, int]] = []
        while starts or heap:
            first = heap[0][0] if heap else None
            if starts and (first is None or starts[-1][0] <= first):
                level = starts[-1][0]
                begun: dict[int, tuple[int, int]] = {}
                while starts and starts[-1][0] == level:
                    i = starts.pop()[1]
                    g = group_of[i]
                    if closed_group[g]:
                        continue
                    state[i] = 1
                    rising.setdefault(g, []).append(i)
                    w, m = begun.get(g, (0, 0))
                    begun[g] = (w + weight[i], m + low[i])
                self._start(begun, heap)
                continue
            if first is None:
                break
            if ends and ends[-1][0] <= first:
                i = ends.pop()[1]
                if state[i]:
                    state[i] = 0
                    top = high[i] * NA_PER_MA
                    x[i] = top
                    w = weight[i]
                    for row, c in group_rows[group_of[i]]:
                        slope[row] -= c * w
                        still[row] += c * top
                continue
            level, row = heappop(heap)
            if closed_row[row] or not slope[row]:
                continue
            now = (cap[row] - still[row]) * PPM // slope[row]
            if now > level:
                heappush(heap, (now, row))
                continue
            closed_row[row] = 1
            for g, _ in self.row_groups[row]:
                if not closed_group[g]:
                    closed_group[g] = 1
                    self._freeze(g, rising.pop(g, ()), level, state)
        for _, i in ends:
            if state[i]:
                x[i] = high[i] * NA_PER_MA
                for row, c in group_rows[group_of[i]]:
                    slope[row] -= c * weight[i]
                    still[row] += c * x[i]

    def left_of_cuts(self) -> list[int]:
        """What each cut has left, in nA per unit of its largest coefficient."""
        first = self.model.packing
        return [
            (cap - still) // max((c for _, c in entries), default=1)
            for cap, still, entries in zip(self.cap[first:], self.still[first:], self.row_groups[first:], strict=True)
        ]

    def _start(self, begun: dict[int, tuple[int, int]], heap: list[tuple[int, int]]) -> None:
        cap, still, slope = self.cap, self.still, self.slope
        touched: set[int] = set()
        for g, (weight, low) in begun.items():
            for row, c in self.group_rows[g]:
                slope[row] += c * weight
                still[row] -= c * low * NA_PER_MA
                touched.add(row)
        fresh = [((cap[row] - still[row]) * PPM // slope[row], row) for row in touched]
        if heap:
            for entry in fresh:
                heappush(heap, entry)
        else:
            heap.extend(fresh)
            heapify(heap)

    def _freeze(self, group: int, members: list[int] | tuple[()], level: int, state: bytearray) -> None:
        weight, low, x = self.model.weight_ppm, self.model.low_ma, self.x
        sum_x = sum_w = 0
        for i in members:
            if state[i]:
                state[i] = 0
                value = weight[i] * level // PPM
                floor = low[i] * NA_PER_MA
                if value < floor:
                    value = floor
                x[i] = value
                sum_x += value
                sum_w += weight[i]
        if sum_w:
            for row, c in self.group_rows[group]:
                self.slope[row] -= c * sum_w
                self.still[row] += c * sum_x
