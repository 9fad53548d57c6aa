"""The rows of the configuration keys: OCPP 1.6 chapter 9, the security whitepaper, and vendor keys that people know.

A row says what a key is: type, range, access, the profile that it comes from, when a change counts. Nothing here has a state;
`evse.ocpp.keys` holds the values. A key that this hardware gives only one meaning to is writable with that one value, so
that a CSMS which sets it unconditionally is content and one that asks for something else gets Rejected. Keys of others
without any effect here are not offered, so they are unknown; `NOT_OFFERED` says why.

Vendor keys: "ccc" = Charge Control C user guide, table 6; "charx" = CHARX web management, server variables.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.ac import LockMode
from evse.domain.station import EvseSpec
from evse.ocpp.data_transfer import KEY_MESSAGE, KEY_VENDOR
from evse.ocpp.security.auth_key import USER_MAX
from evse.protocols.rfid_uid import BYTE_ORDERS, CHARACTER_ORDERS

MEASURANDS = (
    "Current.Import", "Current.Offered", "Energy.Active.Import.Register", "Power.Active.Import", "Power.Offered",
    "SoC", "Temperature", "Voltage",
)

AC_MEASURANDS = (*MEASURANDS, "Frequency")
"""Of stations with AC EVSEs."""

BY_LINE = ("Current.Import", "Current.Offered", "Power.Active.Import")
"""Measurands that AC EVSEs also have for each line, e.g. ``Current.Import.L1``; voltages are ``Voltage.L1-N``."""

PROFILES = "Core,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging"

PAGE_KEYS = 100
"""Keys that one GetConfiguration may name (GetConfigurationMaxKeys)."""

URL_MAX = 255
DAY_S = 86_400

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

NOT_OFFERED = {
    "EichrechtAdminList": "people come to other rights by PIN and group of the operating system (docs/api.md), not by a card at a display",
    "MeterValuesSignatureContexts": "has no effect in the original either",
    "ModemRestartTimeout": "the modem belongs to the operating system, whose service restarts it; the station dials again for ever",
    "StopTransactionSignatureContexts": "has no effect in the original either",
}
"""Keys of others that this product does not know, and why."""

AT_ONCE, NEXT_TRANSACTION, RECONNECT, RESTART = "at once", "next transaction", "next connection", "next start"


class KeySpec(msgspec.Struct, frozen=True, kw_only=True):
    """One key. ``kind``: bool, int, text, secret, measurands, choice.

    ``low``/``high`` bound an int, or the characters of a text whose ``high`` is set; both inclusive. ``zero`` = 0 is allowed
    besides. ``same_as`` = another name of that key (``inverted``: with the opposite meaning).
    """

    key: str
    kind: str
    default: str
    readonly: bool = False
    low: int = 0
    high: int = 0
    zero: bool = False
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""
    profile: str = "Core"
    applies: str = AT_ONCE
    writeonly: bool = False
    guarded: bool = False  # only its guard can take a value, and keeps it
    same_as: str = ""
    inverted: bool = False


def bool_text(value: bool) -> str:
    """Return a boolean as OCPP writes it."""
    return "true" if value else "false"


def phase_rotation(evses: tuple[EvseSpec, ...]) -> str:
    """Return ConnectorPhaseRotation, e.g. "1.RST,2.NotApplicable"; direct current has no phases."""
    if all(evse.ac is None for evse in evses):
        return "NotApplicable"
    return ",".join(f"{e.evse_id}.{'NotApplicable' if e.ac is None else e.ac.phase_rotation}" for e in evses)


def measurands(evses: tuple[EvseSpec, ...]) -> tuple[str, ...]:
    """Return what the four lists of measurands may name; with several lines wired also single ones of them."""
    wired = max((evse.ac.phases for evse in evses if evse.ac is not None), default=0)
    if wired == 0:
        return MEASURANDS
    lines = range(1, wired + 1) if wired > 1 else ()
    return (
        *AC_MEASURANDS,
        *(f"{name}.L{line}" for name in BY_LINE for line in lines),
        *(f"Voltage.L{line}-N" for line in lines),
    )


def _unlock(evses: tuple[EvseSpec, ...]) -> KeySpec:
    """UnlockConnectorOnEVSideDisconnect: sockets with a lock can keep the plug for its owner; cables have one way only."""
    key = "UnlockConnectorOnEVSideDisconnect"
    sockets = [e.ac for e in evses if e.ac is not None and e.ac.socket and e.ac.lock_mode is not LockMode.NEVER]
    if not sockets:
        return KeySpec(key=key, kind="choice", default="true", choices=("true",), help="The cable belongs to the station")
    return KeySpec(key=key, kind="bool", default=bool_text(all(ac.unlock_on_ev_disconnect for ac in sockets)),
                   help="Unlock a socket when the vehicle side is unplugged; false = its owner's card unlocks it")


def table(config: OcppSection, connectors: int, evses: tuple[EvseSpec, ...]) -> list[KeySpec]:
    """Return all rows of a station."""
    return [
        *_cards(config), *_behaviour(config, connectors, evses), *_meter_values(config, evses), *_messages(config),
        *_profiles(evses), *_security(), *_link(config), *_vendor(config, evses),
    ]


def _cards(config: OcppSection) -> list[KeySpec]:
    listed = "LocalAuthListManagement"
    return [
        KeySpec(key="AllowOfflineTxForUnknownId", kind="bool", default=bool_text(config.offline_policy == "allow"),
                help="Offline, cards that are in no list may charge"),
        KeySpec(key="AuthorizationCacheEnabled", kind="bool", default="true",
                help="Remember what the CSMS says of cards"),
        KeySpec(key="AuthorizeRemoteTxRequests", kind="bool", default="false",
                help="Ask the CSMS for the card of a remote start too"),
        KeySpec(key="LocalAuthorizeOffline", kind="bool", default=bool_text(config.offline_policy != "deny"),
                help="Offline, cards that the CSMS has accepted before may charge"),
        KeySpec(key="LocalPreAuthorize", kind="bool", default="false",
                help="Online, cards of list and cache start without asking first"),
        KeySpec(key="MaxEnergyOnInvalidId", kind="int", default="0", high=1_000_000, unit="Wh",
                help="Energy that a transaction gets in all although the CSMS refuses its card"),
        KeySpec(key="StopTransactionOnInvalidId", kind="bool", default="true",
                help="Stop when the CSMS refuses the card of a transaction; false = only its energy ends"),
        KeySpec(key="LocalAuthListEnabled", kind="bool", default="true", profile=listed,
                help="Cards that the CSMS has sent beforehand count"),
        KeySpec(key="LocalAuthListMaxLength", kind="int", default="10000", readonly=True, profile=listed),
        KeySpec(key="SendLocalListMaxLength", kind="int", default="1000", readonly=True, profile=listed),
    ]


def _behaviour(config: OcppSection, connectors: int, evses: tuple[EvseSpec, ...]) -> list[KeySpec]:
    has_ac, rotation = any(evse.ac is not None for evse in evses), phase_rotation(evses)
    return [
        KeySpec(key="ConnectionTimeOut", kind="int", default=str(config.connection_timeout_s), low=5, high=3600,
                unit="s", help="Authorised but nobody plugs in"),
        KeySpec(key="ConnectorPhaseRotation", kind="choice", default=rotation, choices=(rotation,),
                help="Grid phases of each connector" if has_ac else "Direct current has no phases"),
        KeySpec(key="ConnectorPhaseRotationMaxLength", kind="int", default=str(max(1, connectors)), readonly=True),
        *([KeySpec(key="BlinkRepeat", kind="int", default="0", high=10,
                   help="How often a lamp blinks to answer a card; 0 = as its profile shows it")] if has_ac else []),
        KeySpec(key="LightIntensity", kind="int", default=str(config.light_intensity_pct), low=0, high=100, unit="%",
                help="Brightness of all lamps"),
        KeySpec(key="NumberOfConnectors", kind="int", default=str(connectors), readonly=True),
        KeySpec(key="ResetRetries", kind="int", default="0", high=10,
                help="How often a reset is tried again that has not restarted the station"),
        KeySpec(key="StopTransactionOnEVSideDisconnect", kind="choice", default="true", choices=("true",),
                help="A session ends when its vehicle leaves" if has_ac
                else "The cable belongs to the station and is locked in the vehicle"),
        _unlock(evses),
    ]


def _meter_values(config: OcppSection, evses: tuple[EvseSpec, ...]) -> list[KeySpec]:
    known = measurands(evses)
    most = str(len(known))
    sampled = "Energy.Active.Import.Register,Power.Active.Import,Voltage,Current.Import,SoC"
    return [
        KeySpec(key="ClockAlignedDataInterval", kind="int", default=str(config.aligned_interval_s), high=DAY_S,
                unit="s", help="Clock-aligned meter values; 0 = off"),
        KeySpec(key="MeterValueSampleInterval", kind="int", default=str(config.sample_interval_s), high=DAY_S, unit="s",
                help="Sampled meter values during a transaction; 0 = off"),
        KeySpec(key="MeterValuesAlignedData", kind="measurands", choices=known, default=sampled,
                help="Measurands of clock-aligned values"),
        KeySpec(key="MeterValuesAlignedDataMaxLength", kind="int", default=most, readonly=True),
        KeySpec(key="MeterValuesSampledData", kind="measurands", choices=known, default=sampled,
                help="Measurands of sampled values"),
        KeySpec(key="MeterValuesSampledDataMaxLength", kind="int", default=most, readonly=True),
        KeySpec(key="StopTxnAlignedData", kind="measurands", choices=known, default="",
                help="Clock-aligned data inside StopTransaction"),
        KeySpec(key="StopTxnAlignedDataMaxLength", kind="int", default=most, readonly=True),
        KeySpec(key="StopTxnSampledData", kind="measurands", choices=known, default="Energy.Active.Import.Register,SoC",
                help="Begin, sampled and end data inside StopTransaction"),
        KeySpec(key="StopTxnSampledDataMaxLength", kind="int", default=most, readonly=True),
    ]


def _messages(config: OcppSection) -> list[KeySpec]:
    return [
        KeySpec(key="GetConfigurationMaxKeys", kind="int", default=str(PAGE_KEYS), readonly=True,
                help="Keys that one GetConfiguration may name"),
        KeySpec(key="HeartbeatInterval", kind="int", default=str(config.heartbeat_s), low=1, high=DAY_S, unit="s",
                help="Heartbeat; every BootNotification sets it"),
        KeySpec(key="MinimumStatusDuration", kind="int", default="10", low=0, high=300, unit="s",
                help="Shortest time between two StatusNotifications of a connector"),
        KeySpec(key="SupportedFeatureProfiles", kind="text", default=PROFILES, readonly=True),
        KeySpec(key="SupportedFeatureProfilesMaxLength", kind="int", default="6", readonly=True),
        KeySpec(key="TransactionMessageAttempts", kind="int", default="3", low=1, high=100,
                help="Refusals of a transaction message after which it is parked"),
        KeySpec(key="TransactionMessageRetryInterval", kind="int", default="60", low=1, high=3600, unit="s",
                help="Wait after a refusal, times the number of refusals"),
        KeySpec(key="WebSocketPingInterval", kind="int", default=str(config.ping_s), high=3600, unit="s",
                help="WebSocket ping; 0 = off"),
    ]


def _profiles(evses: tuple[EvseSpec, ...]) -> list[KeySpec]:
    smart = "SmartCharging"
    switched = any(evse.ac is not None and evse.ac.phase_switch.enabled for evse in evses)
    return [
        KeySpec(key="ReserveConnectorZeroSupported", kind="bool", default="true", readonly=True, profile="Reservation"),
        KeySpec(key="ChargeProfileMaxStackLevel", kind="int", default="20", readonly=True, profile=smart),
        KeySpec(key="ChargingScheduleAllowedChargingRateUnit", kind="text", default="Current,Power", readonly=True,
                profile=smart),
        KeySpec(key="ChargingScheduleMaxPeriods", kind="int", default="100", readonly=True, profile=smart),
        KeySpec(key="ConnectorSwitch3to1PhaseSupported", kind="bool", default=bool_text(switched), readonly=True,
                profile=smart),
        KeySpec(key="MaxChargingProfilesInstalled", kind="int", default="20", readonly=True, profile=smart),
        KeySpec(key="SupportedFileTransferProtocols", kind="text", default="FTP,FTPS,HTTP,HTTPS", readonly=True,
                profile="FirmwareManagement"),
    ]


def _security() -> list[KeySpec]:
    """The keys of the security whitepaper (edition 3, chapter 2 and 5). What they do is decided by their guards."""
    security = "Security"
    return [
        KeySpec(key="AdditionalRootCertificateCheck", kind="bool", default="false", readonly=True, profile=security,
                help="At most one CSMS root certificate, with a fallback during its change"),
        KeySpec(key="AuthorizationKey", kind="secret", default="", low=16, high=40, writeonly=True, guarded=True,
                profile=security, applies=RECONNECT, help="Password of this station at the CSMS; never told to anybody"),
        KeySpec(key="CertificateSignedMaxChainSize", kind="int", default="10000", readonly=True, profile=security),
        KeySpec(key="CertificateStoreMaxLength", kind="int", default="20", readonly=True, profile=security),
        KeySpec(key="CpoName", kind="text", default="", high=64, guarded=True, profile=security,
                help="Organisation in the certificates of this station"),
        KeySpec(key="SecurityProfile", kind="int", default="0", high=3, guarded=True, profile=security, applies=RECONNECT,
                help="0 none, 1 password, 2 TLS and password, 3 TLS with certificates; the CSMS can only raise it"),
    ]


def _link(config: OcppSection) -> list[KeySpec]:
    ccc = "ccc"
    return [
        KeySpec(key="bootNotificationOnReconnect", kind="bool", default=bool_text(config.boot_on_reconnect), profile=ccc, applies=RECONNECT,
                help="BootNotification after every reconnect, for a CSMS that knows stations by it only"),
        KeySpec(key="ftpTryTLSUpgrade", kind="bool", default=bool_text(config.ftp_try_tls), profile=ccc,
                help="Ask FTP servers for TLS"),
        KeySpec(key="useAsTimeSource", kind="bool", default=bool_text(config.use_as_time_source), profile=ccc,
                help="Take the time from the CSMS while no time daemon keeps the clock"),
        KeySpec(key="sendMeterPublicKeyOnBootNotification", kind="bool", default=bool_text(config.send_meter_public_key),
                profile=ccc, help="Send the public keys of signing meters after BootNotification"),
        KeySpec(key="vendorId", kind="text", default="com.in-tech.smartcharging", readonly=True, profile=ccc,
                help="vendorId of the DataTransfer messages of the recloser"),
        KeySpec(key="webSocketPingTimeout", kind="int", default=str(config.ping_timeout_s), low=1, high=3600, unit="s", profile=ccc,
                help="Wait for the answer to a ping, then the link counts as lost"),
    ]


def _vendor(config: OcppSection, evses: tuple[EvseSpec, ...]) -> list[KeySpec]:
    ccc, charx = "ccc", "charx"
    stops = all(evse.ac.same_token_stops for evse in evses if evse.ac is not None)
    has_ac = any(evse.ac is not None for evse in evses)
    free = any(evse.free_charging for evse in evses)
    token = next((evse.free_id_token for evse in evses if evse.free_id_token), "")
    return [
        KeySpec(key="allowTxWithInvalidTime", kind="bool", default=bool_text(config.allow_tx_with_invalid_time), profile=ccc,
                help="Transactions may start while the station does not know the time; they get it when it is known"),
        KeySpec(key="AvailabilityOnlyWhenTimeSynchronized", kind="bool", default="", profile=charx,
                same_as="allowTxWithInvalidTime", inverted=True),
        KeySpec(key="CentralSystemURI", kind="text", default=config.url, low=1, high=URL_MAX, guarded=True, profile=ccc,
                applies=RECONNECT, help="URL of the CSMS without the station's name"),
        KeySpec(key="NewBackendURL", kind="text", default="", profile=charx, same_as="CentralSystemURI"),
        KeySpec(key="EVDiscardTimeOut", kind="int", default="", profile=charx, same_as="ConnectionTimeOut"),
        KeySpec(key="FreeMode", kind="bool", default=bool_text(free), profile=charx,
                help="Vehicles may charge without a card"),
        KeySpec(key="FreeModeUID", kind="text", default=token, high=20, profile=charx, applies=NEXT_TRANSACTION,
                help="Card that stands for them; empty = FREE"),
        KeySpec(key="ServiceRestart", kind="bool", default="false", profile=charx, applies=RESTART,
                help="Vehicles that are there when the station starts may charge with ServiceUID"),
        KeySpec(key="ServiceUID", kind="text", default="", high=20, profile=charx, applies=RESTART,
                help="Card that stands for them; empty = none"),
        KeySpec(key="AllowTimeSyncDuringSession", kind="bool", default="true", profile=charx,
                help="The CSMS may set the clock while a transaction runs; a clock that was never set always"),
        KeySpec(key="GlobalMaxCurrent", kind="int", default="0", high=10_000, unit="A", profile=charx,
                help="Most current of all vehicles together, of each phase; 0 = no limit by this key"),
        KeySpec(key="MaxCurrent", kind="int", default="0", high=1_000, unit="A", profile=charx,
                help="Most current of each vehicle, of each phase; 0 = no limit by this key"),
        KeySpec(key="ForceUpdate", kind="bool", default="false", profile=charx,
                help="Firmware is installed while vehicles charge, and its restart ends their transactions"),
        KeySpec(key="PreUnavailabilityForUpdate", kind="int", default="0", high=3600, unit="s", profile=charx,
                help="Free connectors are Unavailable for so long before firmware is installed"),
        KeySpec(key="AuthorizationUser", kind="text", default="", high=USER_MAX, guarded=True, profile=charx, applies=RECONNECT,
                help="User name beside AuthorizationKey; empty = the station's name in the URL, as the whitepaper wants it"),
        KeySpec(key="VendorAtKeyTransfer", kind="text", default=KEY_VENDOR, low=1, high=255, profile=charx,
                help="vendorId of the message with the public keys of signing meters"),
        KeySpec(key="MessageAtKeyTransfer", kind="text", default=KEY_MESSAGE, low=1, high=50, profile=charx,
                help="messageId of that message"),
        KeySpec(key="PresentingRFIDEndCharging", kind="bool" if has_ac else "choice", choices=("true",), profile=charx,
                default=bool_text(stops), help="The card that started ends the session"),
    ]


def log_rows(level: str) -> list[KeySpec]:
    """Return LogLevel of a daemon that was started with ``level`` (charx)."""
    return [
        KeySpec(key="LogLevel", kind="choice", default=level, choices=LOG_LEVELS, profile="charx",
                help="Detail of the daemon's log; DEBUG has every message of the link"),
    ]


def reader_rows(byte_order: str, character_order: str) -> list[KeySpec]:
    """Return the keys of stations with card readers, whose file says ``byte_order`` and ``character_order`` (charx)."""
    return [
        KeySpec(key="RFIDByteOrder", kind="choice", default=byte_order, choices=BYTE_ORDERS, profile="charx",
                help="Order of the bytes of a card's number at every reader; little turns 04A1B2C3 into C3B2A104"),
        KeySpec(key="RFIDCharacterOrder", kind="choice", default=character_order, choices=CHARACTER_ORDERS, profile="charx",
                help="Order inside each 16 bit word after that: word exchanges its bytes, digit the digits of each byte"),
    ]


def signing_rows(connectors: Sequence[int]) -> list[KeySpec]:
    """Return the keys that exist only with a meter that signs its readings (ccc 3.3.7, 3.3.10; charx).

    ``connectors`` = those with such a meter: each has its public key, "" until the meter has told it.
    """
    return [
        KeySpec(key="calibrationLawFormat", kind="choice", default="ocmf,plain", choices=("ocmf,plain", "ocmf,hex"),
                profile="ccc", applies=NEXT_TRANSACTION, help="How signed readings are written"),
        *(
            KeySpec(key=f"Meter{number}PublicKey", kind="text", default="", readonly=True, profile="ccc",
                    help=f"Public key of the meter of connector {number}, ASN.1 as hexadecimal digits; empty = it does not tell one")
            for number in connectors
        ),
        KeySpec(key="SignedDataFormat", kind="choice", default="0", choices=("0",), profile="charx", help="0 = OCMF"),
        KeySpec(key="StopTransactionSignatureFormat", kind="text", default="MR", readonly=True, profile="ccc",
                help="MR = begin and end are signed one by one"),
    ]
