"""What lies on the far side of a simulated board: inputs that physics writes, outputs that physics reads.

The coil of the output contactors is modelled as hardware has it: the board's wish in series with the emergency stop
chain and the pilot comparator. `BoardOutputs.contactor_closed` therefore falls in the same instant in which physics
sets ``estop`` or moves ``cp`` out of C/D, without waiting for the firmware's next pass.
"""

from __future__ import annotations

from evse.domain.signals import (
    Authorization,
    BoardStatus,
    ContactorFeedback,
    CpState,
    EvStop,
    HlcStep,
    IsolationState,
    LockState,
    MatrixContacts,
    SlacState,
)


class BoardOutputs:
    """What the board has decided; written by `SimBoard`, read by physics. Constructor values are the safe ones."""

    def __init__(self, plant: BoardPlant) -> None:
        self._plant = plant
        self.lock = False  # drive of the lock motor
        self.led = 0
        self.slac_restarts = 0  # counts the rising edges of restart_slac
        self.contactor_wanted = False  # the firmware's wish, before the hardware chain
        self.tie_closed = False  # drive of relay 2
        self.contacts = 0  # drive of the matrix contacts, bit i = group at position i
        self.permit = False
        self.authorization = Authorization.NONE
        self.isolation_test = False
        self.cable_check_done = False
        self.offered_mv = 0
        self.offered_ma = 0
        self.offered_w = 0
        self.present_mv = 0
        self.present_ma = 0
        self.stop = False
        self.emergency = False

    @property
    def contactor_closed(self) -> bool:
        """Drive of the contactor coil: firmware wish and hardware chain in series."""
        return self.contactor_wanted and self._plant.chain_closed()

    def make_safe(self) -> None:
        """Take energy and invitation away. The lock keeps its place: nobody may pull a plug that was live."""
        self.contactor_wanted = False
        self.tie_closed = False
        self.contacts = 0
        self.permit = False
        self.authorization = Authorization.NONE
        self.isolation_test = False
        self.cable_check_done = False
        self.offered_mv = self.offered_ma = self.offered_w = 0
        self.present_mv = self.present_ma = 0
        self.stop = False
        self.emergency = False


class BoardPlant:
    """Mutable mirror of `BoardStatus` that physics fills, plus ``out``, the outputs that physics obeys.

    ``lease_active`` is the board's own and not here; ``error_flags`` are raised on top of those the board sets itself.
    Units as in `BoardStatus`. The initial values are a healthy board without a vehicle.
    """

    def __init__(self) -> None:
        self.out = BoardOutputs(self)
        self.cp = CpState.A
        self.estop = False
        self.contactor = ContactorFeedback.OPEN
        self.lock = LockState.UNLOCKED  # feedback
        self.slac = SlacState.UNMATCHED
        self.step: HlcStep | None = None
        self.evcc_id = ""
        self.protocol = ""
        self.isolation = IsolationState.INVALID
        self.isolation_kohm: int | None = None
        self.output_mv = 0
        self.soc_pct: int | None = None
        self.demand_mv = 0
        self.demand_ma = 0
        self.ev_max_mv = 0
        self.ev_max_ma = 0
        self.ev_max_w = 0
        self.ev_energy_request_wh: int | None = None
        self.ev_age_ms = 0
        self.ev_stop = EvStop.NONE
        self.temperature_dc: int | None = 250
        self.tie_closed = False  # feedback of relay 2
        self.contacts: MatrixContacts | None = None  # auxiliary contacts of the matrix; None = none fitted
        self.stop_button = False
        self.door_open = False
        self.error_flags = 0

    def chain_closed(self) -> bool:
        """The hardware chain: emergency stop not pressed and pilot in C or D."""
        return not self.estop and (self.cp is CpState.C or self.cp is CpState.D)

    def may_close(self) -> bool:
        """Whether the firmware closes now (what is closed already may stay closed with less)."""
        return self.chain_closed()

    def may_reset(self) -> bool:
        """Whether a RESET of the board endangers nobody."""
        return self.contactor is ContactorFeedback.OPEN and not self.out.contactor_closed

    def follow_outputs(self) -> None:
        """Set the feedbacks as ideal contactors, lock and relay would: at once and without fault."""
        out = self.out
        self.contactor = ContactorFeedback.CLOSED if out.contactor_closed else ContactorFeedback.OPEN
        self.lock = LockState.LOCKED if out.lock else LockState.UNLOCKED
        self.tie_closed = out.tie_closed

    def status(self, *, lease_active: bool, error_flags: int) -> BoardStatus:
        """Return the status as it stands; ``error_flags`` are those of the board itself."""
        return BoardStatus(
            cp=self.cp,
            estop=self.estop,
            contactor=self.contactor,
            lock=self.lock,
            slac=self.slac,
            step=self.step,
            evcc_id=self.evcc_id,
            protocol=self.protocol,
            isolation=self.isolation,
            isolation_kohm=self.isolation_kohm,
            output_mv=self.output_mv,
            soc_pct=self.soc_pct,
            demand_mv=self.demand_mv,
            demand_ma=self.demand_ma,
            ev_max_mv=self.ev_max_mv,
            ev_max_ma=self.ev_max_ma,
            ev_max_w=self.ev_max_w,
            ev_energy_request_wh=self.ev_energy_request_wh,
            ev_age_ms=self.ev_age_ms,
            ev_stop=self.ev_stop,
            temperature_dc=self.temperature_dc,
            tie_closed=self.tie_closed,
            lease_active=lease_active,
            stop_button=self.stop_button,
            door_open=self.door_open,
            error_flags=self.error_flags | error_flags,
            contacts=self.contacts,
        )
