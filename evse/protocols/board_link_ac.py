"""AC fields of STATUS and COMMAND (docs/board-link.md, "AC boards"): one extension field per topic.

A board leaves out what it has not got, and the host leaves out what is at its constructor value: an absent field is the
safe or unknown value of `AcStatus` or `AcCommand`. The pilot field is always sent, so that its presence says "AC". A
field that is longer than this side knows has grown: the known bytes count. A shorter one is malformed.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from evse.domain.ac import AcCommand, AcStatus, HlcMode, PilotMode, PpState, RcdState, V2gError, V2gPhase, V2gStatus
from evse.domain.contactor import ContactorFeedback
from evse.protocols.errors import ProtocolError

INPUTS_MAX: Final = 16
U8_NONE: Final = 0xFF
U32_NONE: Final = 0xFFFF_FFFF
I16_NONE: Final = -0x8000
I32_NONE: Final = -0x8000_0000

# Wire numbers are positions in these tuples; they are part of the document and never change their order.
PP_STATES: Final = (
    PpState.UNKNOWN, PpState.NONE, PpState.A13, PpState.A20, PpState.A32, PpState.A63, PpState.INVALID,
)
RELAY_STATES: Final = (ContactorFeedback.UNKNOWN, ContactorFeedback.OPEN, ContactorFeedback.CLOSED)
RCD_STATES: Final = (RcdState.UNKNOWN, RcdState.NORMAL, RcdState.TRIPPED)
PILOT_MODES: Final = (PilotMode.F, PilotMode.X1, PilotMode.PWM, PilotMode.E)
HLC_MODES: Final = (HlcMode.OFF, HlcMode.OPTIONAL, HlcMode.REQUIRED, HlcMode.FAKE_DC)
V2G_PHASES: Final = (V2gPhase.NONE, V2gPhase.INIT, V2gPhase.AUTH, V2gPhase.PARAMETER, V2gPhase.CHARGE)
V2G_ERRORS: Final = (
    V2gError.NONE, V2gError.SLAC_FAILED, V2gError.SDP_FAILED, V2gError.TCP_CLOSED, V2gError.TLS_FAILED,
    V2gError.PROTOCOL_NOT_SUPPORTED, V2gError.SEQUENCE_ERROR, V2gError.SEQUENCE_TIMEOUT, V2gError.SIGNATURE_ERROR,
    V2gError.SESSION_UNKNOWN, V2gError.PAYMENT_SELECTION_INVALID, V2gError.CHARGE_PARAMETER_INVALID,
    V2gError.CHARGING_PROFILE_INVALID, V2gError.POWER_DELIVERY_NOT_APPLIED, V2gError.CONTACTOR_ERROR,
    V2gError.UNEXPECTED_CP_STATE,
)  # fmt: skip


class AcExt(enum.IntEnum):
    """Numbers of the extension fields: 64.. in STATUS, 80.. in COMMAND."""

    PILOT = 64
    PP = 65
    RELAY2 = 66
    RCD = 67
    LOCK = 68
    ROTARY = 69
    INPUTS = 70
    INPUT_MV = 71
    HEAT = 72
    V2G = 73
    SET_PILOT = 80
    SET_RELAY2 = 81
    SET_RCD = 82
    SET_OUTPUTS = 83
    SET_INPUTS = 84
    SET_LIGHTS = 85
    SET_HLC = 86


STATUS_FIELDS: Final = frozenset(number for number in AcExt if number < AcExt.SET_PILOT)
COMMAND_FIELDS: Final = frozenset(AcExt) - STATUS_FIELDS

_PILOT: Final = struct.Struct("<Hhh")
_U8: Final = struct.Struct("<B")
_RCD: Final = struct.Struct("<Bii")
_U16: Final = struct.Struct("<H")
_HEAT: Final = struct.Struct("<hB")
_V2G: Final = struct.Struct("<BBBIIii")
_SET_PILOT: Final = struct.Struct("<BHB")
_SET_OUTPUTS: Final = struct.Struct("<HHH")
_SET_LIGHTS: Final = struct.Struct("<IIB")
_SET_HLC: Final = struct.Struct("<BB")
SIZES: Final[Mapping[int, int]] = {
    AcExt.PILOT: _PILOT.size, AcExt.PP: 1, AcExt.RELAY2: 1, AcExt.RCD: _RCD.size, AcExt.LOCK: 1, AcExt.ROTARY: 1,
    AcExt.INPUTS: 2, AcExt.HEAT: _HEAT.size, AcExt.V2G: _V2G.size, AcExt.SET_PILOT: _SET_PILOT.size,
    AcExt.SET_RELAY2: 1, AcExt.SET_RCD: 1, AcExt.SET_OUTPUTS: _SET_OUTPUTS.size, AcExt.SET_INPUTS: 2,
    AcExt.SET_LIGHTS: _SET_LIGHTS.size, AcExt.SET_HLC: _SET_HLC.size,
}  # fmt: skip
"""Bytes of each field in this version, as the document's table has them (`AcExt.INPUT_MV` has two per input)."""

T = TypeVar("T")


def _numbers(table: Sequence[T]) -> dict[T, int]:
    return {value: number for number, value in enumerate(table)}


_PP_NO: Final = _numbers(PP_STATES)
_RELAY_NO: Final = _numbers(RELAY_STATES)
_RCD_NO: Final = _numbers(RCD_STATES)
_PILOT_NO: Final = _numbers(PILOT_MODES)
_HLC_NO: Final = _numbers(HLC_MODES)
_PHASE_NO: Final = _numbers(V2G_PHASES)
_ERROR_NO: Final = _numbers(V2G_ERRORS)
_NO_V2G: Final = V2gStatus()
_SAFE: Final = AcCommand()


def _none_i16(value: int | None) -> int:
    return I16_NONE if value is None else value


def _none_i32(value: int | None) -> int:
    return I32_NONE if value is None else value


def _none_u32(value: int | None) -> int:
    return U32_NONE if value is None else value


def _ext(number: int, value: bytes) -> bytes:
    return bytes((number, len(value))) + value


def encode_status(ac: AcStatus) -> bytes:
    """Return the extension fields of ``ac``; `ProtocolError` when a value does not fit its field."""
    taken = (
        ac.cp_high_mv == I16_NONE or ac.cp_low_mv == I16_NONE or ac.board_temperature_dc == I16_NONE
        or ac.residual_dc_ua == I32_NONE or ac.residual_rms_ua == I32_NONE
    )  # fmt: skip
    if taken or not 0 <= ac.duty_bp <= 10_000 or not (ac.rotary is None or 0 <= ac.rotary <= 15):
        raise ProtocolError(f"board link: STATUS: out of range: {ac}")
    if len(ac.input_mv) > INPUTS_MAX:
        raise ProtocolError(f"board link: STATUS: {len(ac.input_mv)} inputs, at most {INPUTS_MAX}")
    try:
        raw = _ext(AcExt.PILOT, _PILOT.pack(ac.duty_bp, _none_i16(ac.cp_high_mv), _none_i16(ac.cp_low_mv)))
        if ac.pp is not PpState.UNKNOWN:
            raw += _ext(AcExt.PP, _U8.pack(_PP_NO[ac.pp]))
        if ac.relay2 is not ContactorFeedback.UNKNOWN:
            raw += _ext(AcExt.RELAY2, _U8.pack(_RELAY_NO[ac.relay2]))
        if ac.rcd is not RcdState.UNKNOWN or ac.residual_dc_ua is not None or ac.residual_rms_ua is not None:
            dc, rms = _none_i32(ac.residual_dc_ua), _none_i32(ac.residual_rms_ua)
            raw += _ext(AcExt.RCD, _RCD.pack(_RCD_NO[ac.rcd], dc, rms))
        if ac.lock_charged:
            raw += _ext(AcExt.LOCK, b"\1")
        if ac.rotary is not None:
            raw += _ext(AcExt.ROTARY, _U8.pack(ac.rotary))
        if ac.inputs:
            raw += _ext(AcExt.INPUTS, _U16.pack(ac.inputs))
        if ac.input_mv:
            raw += _ext(AcExt.INPUT_MV, struct.pack(f"<{len(ac.input_mv)}H", *ac.input_mv))
        if ac.ptc_hot or ac.board_temperature_dc is not None:
            raw += _ext(AcExt.HEAT, _HEAT.pack(_none_i16(ac.board_temperature_dc), ac.ptc_hot))
        if ac.v2g != _NO_V2G:
            raw += _encode_v2g(ac.v2g)
    except struct.error as error:
        raise ProtocolError(f"board link: STATUS: a value does not fit its field ({error}): {ac}") from error
    return raw


def _encode_v2g(v2g: V2gStatus) -> bytes:
    if v2g.departure_s == U32_NONE or v2g.energy_request_wh == U32_NONE or I32_NONE in (v2g.ev_max_ma, v2g.ev_min_ma):
        raise ProtocolError(f"board link: STATUS: out of range: {v2g}")
    flags = v2g.finished | v2g.contract << 1 | v2g.ready << 2 | v2g.renegotiating << 3 | v2g.paused << 4
    fields = _V2G.pack(
        _PHASE_NO[v2g.phase], flags, _ERROR_NO[v2g.error], _none_u32(v2g.departure_s),
        _none_u32(v2g.energy_request_wh), _none_i32(v2g.ev_max_ma), _none_i32(v2g.ev_min_ma),
    )  # fmt: skip
    return _ext(AcExt.V2G, fields)


def encode_command(ac: AcCommand) -> bytes:
    """Return the extension fields of ``ac``; `ProtocolError` when a value does not fit its field."""
    if not (0 <= ac.duty_bp <= 10_000 and 0 <= ac.phases <= 3 and 0 <= ac.led_rgb <= 0xFFFFFF
            and 0 <= ac.rfid_rgb <= 0xFFFFFF and 0 <= ac.switch_method <= 4):  # fmt: skip
        raise ProtocolError(f"board link: COMMAND: out of range: {ac}")
    try:
        raw = _ext(AcExt.SET_PILOT, _SET_PILOT.pack(_PILOT_NO[ac.pilot], ac.duty_bp, ac.phases))
        if ac.relay2 or ac.relay2_free:
            raw += _ext(AcExt.SET_RELAY2, _U8.pack(ac.relay2 | ac.relay2_free << 1))
        if ac.rcd_test:
            raw += _ext(AcExt.SET_RCD, b"\1")
        if ac.outputs or ac.floating or ac.pulsing:
            raw += _ext(AcExt.SET_OUTPUTS, _SET_OUTPUTS.pack(ac.outputs, ac.floating, ac.pulsing))
        if ac.input_threshold_mv != _SAFE.input_threshold_mv:
            raw += _ext(AcExt.SET_INPUTS, _U16.pack(ac.input_threshold_mv))
        if ac.led_rgb or ac.rfid_rgb or ac.buzzer:
            raw += _ext(AcExt.SET_LIGHTS, _SET_LIGHTS.pack(ac.led_rgb, ac.rfid_rgb, ac.buzzer))
        if ac.hlc is not HlcMode.OFF or ac.parameter_finished or ac.renegotiate or ac.pause or ac.switch_method:
            flags = ac.parameter_finished | ac.renegotiate << 1 | ac.pause << 2 | ac.switch_method << 4
            raw += _ext(AcExt.SET_HLC, _SET_HLC.pack(_HLC_NO[ac.hlc], flags))
    except struct.error as error:
        raise ProtocolError(f"board link: COMMAND: a value does not fit its field ({error}): {ac}") from error
    return raw


# -- decoding ---------------------------------------------------------------------------------------------------------


def _of(table: Sequence[T], number: int, field: AcExt) -> T:
    if number >= len(table):
        raise ProtocolError(
            f"board link: field {field.value} ({field.name.lower()}) is {number}, known are 0..{len(table) - 1}"
        )
    return table[number]


def _value(found: Mapping[int, bytes], field: AcExt) -> bytes | None:
    """Return the bytes of ``field``, None when absent; `ProtocolError` when it is shorter than it has to be."""
    value = found.get(field)
    if value is not None and len(value) < SIZES[field]:
        raise ProtocolError(
            f"board link: field {field.value} ({field.name.lower()}) has {len(value)} bytes, needs {SIZES[field]}"
        )
    return value


def _duty(duty_bp: int, field: AcExt) -> int:
    if duty_bp > 10_000:
        raise ProtocolError(f"board link: field {field.value} ({field.name.lower()}): duty is {duty_bp}; 0..10000")
    return duty_bp


def _some(value: int, none: int) -> int | None:
    return None if value == none else value


def decode_status(found: Mapping[int, bytes]) -> AcStatus | None:
    """Return the AC part of the extension fields of a STATUS, None without any; `ProtocolError` for a bad field."""
    if found.keys().isdisjoint(STATUS_FIELDS):
        return None
    duty_bp, high, low = 0, I16_NONE, I16_NONE
    rcd_no, dc, rms = 0, I32_NONE, I32_NONE
    heat, heat_flags, rotary = I16_NONE, 0, None
    if (value := _value(found, AcExt.PILOT)) is not None:
        duty_bp, high, low = _PILOT.unpack_from(value)
    if (value := _value(found, AcExt.RCD)) is not None:
        rcd_no, dc, rms = _RCD.unpack_from(value)
    if (value := _value(found, AcExt.HEAT)) is not None:
        heat, heat_flags = _HEAT.unpack_from(value)
    if (value := _value(found, AcExt.ROTARY)) is not None and value[0] != U8_NONE:
        rotary = _of(range(16), value[0], AcExt.ROTARY)
    pp, relay2 = _value(found, AcExt.PP), _value(found, AcExt.RELAY2)
    lock, inputs = _value(found, AcExt.LOCK), _value(found, AcExt.INPUTS)
    volts = found.get(AcExt.INPUT_MV, b"")
    if len(volts) % 2 or len(volts) > 2 * INPUTS_MAX:
        raise ProtocolError(f"board link: field 71 (input_mv) has {len(volts)} bytes; two per input, at most 32")
    return AcStatus(
        pp=PpState.UNKNOWN if pp is None else _of(PP_STATES, pp[0], AcExt.PP),
        cp_high_mv=_some(high, I16_NONE),
        cp_low_mv=_some(low, I16_NONE),
        duty_bp=_duty(duty_bp, AcExt.PILOT),
        relay2=ContactorFeedback.UNKNOWN if relay2 is None else _of(RELAY_STATES, relay2[0], AcExt.RELAY2),
        rcd=_of(RCD_STATES, rcd_no, AcExt.RCD),
        residual_dc_ua=_some(dc, I32_NONE),
        residual_rms_ua=_some(rms, I32_NONE),
        lock_charged=lock is not None and lock[0] & 1 != 0,
        rotary=rotary,
        inputs=0 if inputs is None else int.from_bytes(inputs[:2], "little"),
        input_mv=struct.unpack(f"<{len(volts) // 2}H", volts),
        ptc_hot=heat_flags & 1 != 0,
        board_temperature_dc=_some(heat, I16_NONE),
        v2g=_decode_v2g(found),
    )


def _decode_v2g(found: Mapping[int, bytes]) -> V2gStatus:
    value = _value(found, AcExt.V2G)
    if value is None:
        return _NO_V2G
    phase, flags, error, departure, energy, ev_max, ev_min = _V2G.unpack_from(value)
    return V2gStatus(
        phase=_of(V2G_PHASES, phase, AcExt.V2G),
        finished=flags & 1 != 0,
        error=_of(V2G_ERRORS, error, AcExt.V2G),
        contract=flags & 2 != 0,
        departure_s=_some(departure, U32_NONE),
        energy_request_wh=_some(energy, U32_NONE),
        ev_max_ma=_some(ev_max, I32_NONE),
        ev_min_ma=_some(ev_min, I32_NONE),
        ready=flags & 4 != 0,
        renegotiating=flags & 8 != 0,
        paused=flags & 16 != 0,
    )


def decode_command(found: Mapping[int, bytes]) -> AcCommand | None:
    """Return the AC part of the extension fields of a COMMAND, None without any; `ProtocolError` for a bad field."""
    if found.keys().isdisjoint(COMMAND_FIELDS):
        return None
    pilot, duty_bp, phases = 0, 0, _SAFE.phases
    outputs = floating = pulsing = led_rgb = rfid_rgb = buzzer = hlc = hlc_flags = 0
    if (value := _value(found, AcExt.SET_PILOT)) is not None:
        pilot, duty_bp, phases = _SET_PILOT.unpack_from(value)
        _of(range(4), phases, AcExt.SET_PILOT)
    if (value := _value(found, AcExt.SET_OUTPUTS)) is not None:
        outputs, floating, pulsing = _SET_OUTPUTS.unpack_from(value)
    if (value := _value(found, AcExt.SET_LIGHTS)) is not None:
        led_rgb, rfid_rgb, buzzer = _SET_LIGHTS.unpack_from(value)
        if led_rgb > 0xFFFFFF or rfid_rgb > 0xFFFFFF:
            raise ProtocolError(f"board link: field 85 (set_lights): a colour is 0x{max(led_rgb, rfid_rgb):08X}")
    if (value := _value(found, AcExt.SET_HLC)) is not None:
        hlc, hlc_flags = _SET_HLC.unpack_from(value)
    relay2, rcd = _value(found, AcExt.SET_RELAY2), _value(found, AcExt.SET_RCD)
    threshold = _value(found, AcExt.SET_INPUTS)
    return AcCommand(
        pilot=_of(PILOT_MODES, pilot, AcExt.SET_PILOT),
        duty_bp=_duty(duty_bp, AcExt.SET_PILOT),
        phases=phases,
        relay2=relay2 is not None and relay2[0] & 1 != 0,
        relay2_free=relay2 is not None and relay2[0] & 2 != 0,
        rcd_test=rcd is not None and rcd[0] & 1 != 0,
        outputs=outputs,
        floating=floating,
        pulsing=pulsing,
        input_threshold_mv=_SAFE.input_threshold_mv if threshold is None else int.from_bytes(threshold[:2], "little"),
        led_rgb=led_rgb,
        rfid_rgb=rfid_rgb,
        buzzer=buzzer & 1 != 0,
        hlc=_of(HLC_MODES, hlc, AcExt.SET_HLC),
        parameter_finished=hlc_flags & 1 != 0,
        renegotiate=hlc_flags & 2 != 0,
        pause=hlc_flags & 4 != 0,
        switch_method=_of(range(5), hlc_flags >> 4 & 7, AcExt.SET_HLC),
    )
