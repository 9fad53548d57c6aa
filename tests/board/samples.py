"""AC states and levels for the tests of the codec: those of the document, and strategies over all of them."""

from __future__ import annotations

from hypothesis import strategies as st

from evse.domain.ac import (
    AcCommand,
    AcStatus,
    HlcMode,
    PilotMode,
    PpState,
    RcdState,
    V2gError,
    V2gPhase,
    V2gStatus,
)
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback, CpState, LockState, SlacState

AC_STATUS = BoardStatus(
    cp=CpState.C,
    estop=False,
    contactor=ContactorFeedback.CLOSED,
    lock=LockState.LOCKED,
    temperature_dc=312,
    lease_active=True,
    ac=AcStatus(
        pp=PpState.A32,
        cp_high_mv=6010,
        cp_low_mv=-11_950,
        duty_bp=2667,
        relay2=ContactorFeedback.CLOSED,
        rcd=RcdState.NORMAL,
        residual_dc_ua=120,
        residual_rms_ua=900,
        lock_charged=True,
        rotary=11,
        inputs=4,
    ),
)
V2G_STATUS = BoardStatus(
    cp=CpState.B,
    estop=False,
    contactor=ContactorFeedback.OPEN,
    slac=SlacState.MATCHED,
    evcc_id="001122AABBCC",
    protocol="ISO15118-2",
    ev_age_ms=120,
    ac=AcStatus(
        pp=PpState.A32,
        duty_bp=500,
        input_mv=(12_000, 0),
        board_temperature_dc=405,
        v2g=V2gStatus(
            phase=V2gPhase.PARAMETER,
            contract=True,
            departure_s=28_800,
            energy_request_wh=22_000,
            ev_max_ma=16_000,
            ev_min_ma=6_000,
        ),
    ),
)
AC_LEVELS = BoardCommand(
    contactor_lease=True,
    lock=True,
    offered_ma=16_000,
    offered_w=11_040,
    led=3,
    ac=AcCommand(pilot=PilotMode.PWM, duty_bp=2667, phases=3, relay2=True, led_rgb=0x0000FF),
)

U32_OR_NONE = st.none() | st.integers(0, 0xFFFF_FFFE)
I16_OR_NONE = st.none() | st.integers(-0x7FFF, 0x7FFF)
I32_OR_NONE = st.none() | st.integers(-0x7FFF_FFFF, 0x7FFF_FFFF)
BITS = st.integers(0, 0xFFFF)
AC_STATUSES = st.builds(
    AcStatus,
    pp=st.sampled_from(PpState),
    cp_high_mv=I16_OR_NONE,
    cp_low_mv=I16_OR_NONE,
    duty_bp=st.integers(0, 10_000),
    relay2=st.sampled_from(ContactorFeedback),
    rcd=st.sampled_from(RcdState),
    residual_dc_ua=I32_OR_NONE,
    residual_rms_ua=I32_OR_NONE,
    lock_charged=st.booleans(),
    rotary=st.none() | st.integers(0, 15),
    inputs=BITS,
    input_mv=st.lists(BITS, max_size=16).map(tuple),
    ptc_hot=st.booleans(),
    board_temperature_dc=I16_OR_NONE,
    v2g=st.builds(
        V2gStatus,
        phase=st.sampled_from(V2gPhase),
        finished=st.booleans(),
        error=st.sampled_from(V2gError),
        contract=st.booleans(),
        departure_s=U32_OR_NONE,
        energy_request_wh=U32_OR_NONE,
        ev_max_ma=I32_OR_NONE,
        ev_min_ma=I32_OR_NONE,
        ready=st.booleans(),
        renegotiating=st.booleans(),
        paused=st.booleans(),
    ),
)
AC_COMMANDS = st.builds(
    AcCommand,
    pilot=st.sampled_from(PilotMode),
    duty_bp=st.integers(0, 10_000),
    phases=st.integers(0, 3),
    relay2=st.booleans(),
    relay2_free=st.booleans(),
    rcd_test=st.booleans(),
    outputs=BITS,
    floating=BITS,
    pulsing=BITS,
    input_threshold_mv=BITS,
    led_rgb=st.integers(0, 0xFFFFFF),
    rfid_rgb=st.integers(0, 0xFFFFFF),
    buzzer=st.booleans(),
    hlc=st.sampled_from(HlcMode),
    parameter_finished=st.booleans(),
    renegotiate=st.booleans(),
    pause=st.booleans(),
    switch_method=st.integers(0, 4),
)
