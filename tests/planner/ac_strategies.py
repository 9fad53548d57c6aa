"""Bounded random AC problems for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from evse.planner.ac_problem import PPM, ROTATIONS, AcConnector, AcNode, AcProblem, PausePolicy

AMP = 1000


@st.composite
def ac_problems(
    draw: st.DrawFn,
    max_nodes: int = 3,
    max_connectors: int = 3,
    imbalance: bool = False,
    policies: tuple[PausePolicy, ...] = (PausePolicy.LONGEST_FIRST,),
    steps: tuple[int, ...] = (1,),
    scarce: bool = True,
) -> AcProblem:
    """A tree with house load, kW limits, weights, classes and rotations; small enough for the oracle by default."""
    per_car = 6 if scarce else 14
    count = draw(st.integers(1, max_connectors))
    high = max(8, per_car * count)
    amps = st.integers(0, high).map(lambda a: a * AMP)
    nodes = []
    for n in range(draw(st.integers(1, max_nodes))):
        nodes.append(
            AcNode(
                id=f"n{n}",
                parent=None if n == 0 else f"n{draw(st.integers(0, n - 1))}",
                limit_ma=(draw(amps), draw(amps), draw(amps)),
                limit_w=draw(st.none() | st.integers(0, high * 500)),
                imbalance_ma=draw(st.sampled_from([None, 0, 4_000, 10_000, 20_000])) if imbalance else None,
                background_ma=draw(
                    st.sampled_from([(0, 0, 0), (0, 0, 0), (5_000, 0, 2_000), (0, 9_500, 1_000), (30_000, 0, 0)])
                ),
            )
        )
    connectors = []
    for i in range(count):
        maximum = draw(st.sampled_from([5_000, 10_000, 16_000, 20_000, 32_000]))
        connectors.append(
            AcConnector(
                id=f"c{i}",
                node=f"n{draw(st.integers(0, len(nodes) - 1))}",
                lines=draw(st.integers(1, 3)),
                rotation=draw(st.sampled_from(ROTATIONS)),
                min_ma=draw(st.sampled_from([6_000, 6_000, 6_000, 8_000, 0])),
                max_ma=maximum,
                demand_ma=draw(st.sampled_from([0, 3_000, 13_500, 32_000, 32_000])),
                weight_ppm=draw(st.sampled_from([PPM, PPM, PPM, 2 * PPM, 700_000])),
                priority=draw(st.sampled_from([0, 0, 0, 1])),
                charging_s=draw(st.integers(0, 3)),
            )
        )
    return AcProblem(
        nodes=tuple(nodes),
        connectors=tuple(connectors),
        pause_policy=draw(st.sampled_from(policies)),
        step_ma=draw(st.sampled_from(steps)),
    )
