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
    """Rows of a model plus cuts, and the sweep over one class after the other.

    ``totals`` of everybody and the room of every row follow ``x``; nobody rises between two calls of `fill`.
    """

    def __init__(self, model: Model, on: list[int]) -> None:
        self.model, self.on = model, on
        rows = model.packing
        self.cap = [cap * NA_PER_MA for cap in model.row_cap_ma[:rows]]
        self.row_groups = model.row_groups[:rows]
        self.group_rows = model.group_rows[:]
        self.x = [0] * len(model.low_ma)
        for i in on:
            self.x[i] = model.low_ma[i] * NA_PER_MA
        self._count_groups()
        self._count_rows()

    def _count_groups(self) -> None:
        x, group_of = self.x, self.model.group_of
        self.totals = totals = [0] * len(self.model.members)
        for i in self.on:
            totals[group_of[i]] += x[i]

    def _count_rows(self) -> None:
        self.still = still = [0] * len(self.cap)  # nA of everybody who does not rise, with coefficients
        self.slope = [0] * len(self.cap)  # ppm of weight of everybody who rises
        for group, total in enumerate(self.totals):
            if total:
                for row, coefficient in self.group_rows[group]:
                    still[row] += coefficient * total

    def fill(self, on: list[int], from_level: int = 0) -> None:
        """Raise the connectors ``on`` (one class, all at ``from_level`` or at a minimum above it) as far as the rows
        allow; everybody else stands still."""
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
            start = -(-low[i] * scale // w)
            starts.append((start if start > from_level else from_level, i))
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
                    begun[g] = (w + weight[i], m + x[i])
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
        self._count_groups()

    def totals_at(self, on: list[int], level: int) -> list[int]:
        """Group totals when the connectors ``on`` of the last `fill` had risen to ``level`` only."""
        group_of, weight, low, x = self.model.group_of, self.model.weight_ppm, self.model.low_ma, self.x
        totals = self.totals[:]
        for i in on:
            value = weight[i] * level // PPM
            if x[i] > value:
                floor = low[i] * NA_PER_MA
                totals[group_of[i]] -= x[i] - (value if value > floor else floor)
        return totals

    def level_of(self, on: list[int], cut: AcCut) -> int | None:
        """The level at which ``cut`` was full while the connectors ``on`` rose in the last `fill`; None = it is not."""
        model, x = self.model, self.x
        group_of, weight, low = model.group_of, model.weight_ppm, model.low_ma
        factor = dict(cut.coefficients)
        still, slope = sum(c * self.totals[g] for g, c in cut.coefficients), 0
        if still <= cut.cap_na:
            return None
        events: list[tuple[int, int, int]] = []  # level, change of the slope, what begins or stops to rise
        for i in on:
            c = factor.get(group_of[i])
            if c is None:
                continue
            floor, top, w = low[i] * NA_PER_MA, x[i], weight[i]
            if top > floor:
                still -= c * (top - floor)
                events.append((-(-floor * PPM // w), c * w, c * floor))
                events.append((-(-top * PPM // w), -c * w, -c * top))
        events.sort()
        for level, more, amount in events:
            if slope and (cut.cap_na - still) * PPM // slope < level:
                break
            slope += more
            still -= amount
        return (cut.cap_na - still) * PPM // slope if slope else -1

    def restrict(self, on: list[int], level: int, cut: AcCut) -> list[int]:
        """Go back to the moment at which the connectors ``on`` were at ``level`` and add ``cut``: those who can go on."""
        weight, low, x = self.model.weight_ppm, self.model.low_ma, self.x
        again = []
        for i in on:
            value, floor = weight[i] * level // PPM, low[i] * NA_PER_MA
            if value <= floor:  # not begun; it may have been stopped by a row that is not full any more
                x[i] = floor
                again.append(i)
            elif x[i] > value:
                x[i] = value
                again.append(i)
        row = len(self.cap)
        self.cap.append(cut.cap_na)
        self.row_groups.append(list(cut.coefficients))
        for group, coefficient in cut.coefficients:
            self.group_rows[group] = (*self.group_rows[group], (row, coefficient))
        self._count_groups()
        self._count_rows()
        return again

    def _start(self, begun: dict[int, tuple[int, int]], heap: list[tuple[int, int]]) -> None:
        cap, still, slope = self.cap, self.still, self.slope
        touched: set[int] = set()
        for g, (weight, low) in begun.items():
            for row, c in self.group_rows[g]:
                slope[row] += c * weight
                still[row] -= c * low
                touched.add(row)
        fresh = [((cap[row] - still[row]) * PPM // slope[row], row) for row in touched]
        if heap:
            for entry in fresh:
                heappush(heap, entry)
        else:
            heap.extend(fresh)
            heapify(heap)

    def _freeze(self, group: int, members: list[int] | tuple[()], level: int, state: bytearray) -> None:
        weight, x = self.model.weight_ppm, self.x
        sum_x = sum_w = 0
        for i in members:
            if state[i]:
                state[i] = 0
                value = weight[i] * level // PPM
                if value < x[i]:
                    value = x[i]
                x[i] = value
                sum_x += value
                sum_w += weight[i]
        if sum_w:
            for row, c in self.group_rows[group]:
                self.slope[row] -= c * sum_w
                self.still[row] += c * sum_x
