"""Bounded random planning problems for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from evse.domain.station import Topology
from evse.planner.problem import PPM, DcCabinet, DcConnector, DcGroup, DcProblem


@st.composite
def cabinets(
    draw: st.DrawFn, name: str, max_groups: int, max_connectors: int, topologies: tuple[Topology, ...]
) -> tuple[DcCabinet, list[DcConnector]]:
    topology = draw(st.sampled_from(topologies))
    size = draw(st.integers(1, max_groups))
    count = draw(st.integers(1, min(size, max_connectors)))
    homes = draw(st.permutations(range(size)))[:count]
    if topology is not Topology.MATRIX:
        homes = sorted(homes)
    home_of = {group: f"{name}c{i}" for i, group in enumerate(homes)}
    same = draw(st.booleans())
    modules = draw(st.integers(1, 4))
    groups = tuple(
        DcGroup(
            id=f"{name}g{g}",
            home=home_of.get(g),
            modules=modules if same else draw(st.integers(1, 4)),
            module_w=20_000,
            module_ma=50_000,
            derate_ppm=PPM if same else draw(st.sampled_from([PPM, PPM, 750_000, 500_000, 0])),
        )
        for g in range(size)
    )
    connectors = [
        DcConnector(
            id=f"{name}c{i}",
            cabinet=name,
            request_w=draw(st.one_of(st.just(0), st.integers(0, 200_000))),
            voltage_mv=draw(st.sampled_from([250_000, 386_000, 400_000, 682_000, 800_000])),
            current_ma=draw(st.integers(0, 500_000)),
            limit_w=draw(st.one_of(st.none(), st.integers(0, 150_000))),
            charging_s=draw(st.integers(0, 5)),
        )
        for i in range(count)
    ]
    owners = st.sampled_from([None, *(c.id for c in connectors)])
    prior = {g.id: draw(owners) for g in groups} if draw(st.booleans()) else {}
    limit = draw(st.one_of(st.none(), st.integers(0, 200_000)))
    return DcCabinet(id=name, topology=topology, groups=groups, limit_w=limit, prior=prior), connectors


@st.composite
def problems(
    draw: st.DrawFn,
    topologies: tuple[Topology, ...] = tuple(Topology),
    max_groups: int = 6,
    max_connectors: int = 3,
    max_cabinets: int = 1,
) -> DcProblem:
    """A problem small enough for the oracle by default."""
    parts = [
        draw(cabinets(f"k{i}", max_groups, max_connectors, topologies))
        for i in range(draw(st.integers(1, max_cabinets)))
    ]
    return DcProblem(
        cabinets=tuple(cabinet for cabinet, _ in parts),
        connectors=tuple(connector for _, connectors in parts for connector in connectors),
        site_limit_w=draw(st.one_of(st.none(), st.integers(0, 300_000))),
        csms_limit_w=draw(st.one_of(st.none(), st.none(), st.integers(0, 300_000))),
        efficiency_ppm=draw(st.sampled_from([PPM, 950_000, 933_333])),
        min_w=draw(st.sampled_from([0, 3_000, 5_000, 30_000])),
        group_power_w=draw(st.sampled_from([0, 0, 60_000])),
        max_groups=draw(st.sampled_from([0, 0, 1, 2, 3])),
        allow_cross=draw(st.sampled_from([True, True, False])),
    )
