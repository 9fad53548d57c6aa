"""``evsectl ocpp certs|security|transfers``: how the link is secured, and files that go over it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evse.domain.security import link_weakened
from evsectl import exits, pages_ocpp
from evsectl import tables_ocpp as tables
from evsectl.diagnostics import Abort, nearest, note, usage
from evsectl.layout import Row
from evsectl.options import Call, Yes, can_ask, confirm, data
from evsectl.output import emit, write

certs_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Certificates of the link.",
)  # fmt: skip
security_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Security profile, password, events.",
)  # fmt: skip
transfers_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Firmware updates and uploads.",
)  # fmt: skip

TYPES = {"csms": "CentralSystemRootCertificate", "firmware": "ManufacturerRootCertificate"}
TRANSFERS = ("firmware", "diagnostics", "log")
PROFILES = {
    0: "no password, no TLS: only inside a network of your own",
    1: "password without TLS: only inside a network of your own",
    2: "TLS, and a password",
    3: "TLS, and the certificate of the station",
}
CHANGE_HINT = "evsectl ocpp security status tells whether the CSMS has accepted it; until then the old settings stay"
SIGN_S = 40.0


def secret(what: str) -> str:
    """Read a secret: typed without an echo, or the first line of standard input."""
    if can_ask():
        import getpass

        return getpass.getpass(f"{what}: ")
    text = sys.stdin.readline().rstrip("\n")
    if not text:
        usage(f"{what} is needed and standard input is empty", "write it to standard input; an option would be seen by every user")
    return text


def _result(call: Call, body: Row, done: str, hint: str = "nothing was changed") -> int:
    """Write what an action answered; anything but Accepted ends with 7 and ``hint``."""
    if body["status"] not in ("Accepted", "RebootRequired"):
        raise Abort(exits.CONFLICT, f"{body['status']}: {body['reason'] or 'no reason was told'}", hint, "conflict")
    if call.human:
        write(f"{done}\n", call.options)
    else:
        emit("OcppSecurityResult", [body], [], call.options, single=True)
    return exits.OK


# -- certificates ---------------------------------------------------------------------------------------------------


@data(certs_app, "OcppCertificate", "list", key="fingerprint")
def certs_list(call: Call) -> int:
    """List certificates: what for, until when."""
    items = call.ask("ocpp.certs")["items"]
    emit("OcppCertificate", items, tables.CERTIFICATE, call.options, name="fingerprint", empty="No certificate is installed.")
    return exits.OK


@data(certs_app, "OcppSecurityResult", "install")
def certs_install(
    call: Call,
    source: Annotated[str, typer.Argument(help="PEM file with one root certificate; - = standard input", metavar="FILE")],
    purpose: Annotated[str, typer.Option("--for", help="csms or firmware", metavar="WHAT")] = "csms",
) -> int:
    """Install a root certificate."""
    if purpose not in TYPES:
        usage(f"--for: there is no {purpose!r}", nearest(purpose, list(TYPES)) or "csms or firmware")
    pem = _read(source)
    if "PRIVATE KEY" in pem:
        usage(f"{source} holds a private key", "give the certificate alone; a private key belongs to its owner")
    return _result(call, call.ask("ocpp.cert_install", type=TYPES[purpose], pem=pem), "installed")


@data(certs_app, "OcppSecurityResult", "delete")
def certs_delete(
    call: Call,
    fingerprint: Annotated[str, typer.Argument(help="Its fingerprint, or the first 8 digits of it", metavar="FINGERPRINT")],
    yes: Yes = False,
) -> int:
    """Delete an installed root certificate."""
    if len(fingerprint.replace(":", "")) < 8:
        usage(f"{fingerprint!r} is too short", "8 digits at least: evsectl ocpp certs list")
    roots = [item["fingerprint"] for item in call.ask("ocpp.certs")["items"] if item["type"] == TYPES["csms"]]
    last = len(roots) == 1 and roots[0].startswith(fingerprint.replace(":", "").lower())
    lines = ["what it has signed is not trusted any more"]
    if last:
        lines.append("it is the LAST root of the CSMS: TLS then works with the roots of the system only")
    confirm(f"Delete the root certificate {fingerprint}?", lambda: lines, yes=yes)
    return _result(call, call.ask("ocpp.cert_delete", fingerprint=fingerprint, confirm=last), "deleted")


@data(certs_app, "OcppSecurityResult", "request")
def certs_request(
    call: Call,
    csr: Annotated[
        str, typer.Option("--csr", help="Write the request to this file instead, for another authority; - = standard output", metavar="FILE")
    ] = "",
) -> int:
    """Let the CSMS sign a certificate of the station."""
    if csr:
        return _write_request(call, csr)
    call.session.timeout_s = max(call.session.timeout_s, SIGN_S)
    return _result(
        call, call.ask("ocpp.cert_request"), "asked for; evsectl ocpp security status tells when it has come",
        "an authority beside the CSMS: evsectl ocpp certs request --csr FILE",
    )


def _write_request(call: Call, path: str) -> int:
    """The request into a file that is not overwritten, and what comes next."""
    if path != "-" and Path(path).exists():
        raise Abort(exits.CONFLICT, f"{path}: the file exists", "name another one", "conflict")
    body = call.ask("ocpp.cert_csr")
    if path == "-":
        sys.stdout.write(body["csr"])
    else:
        try:
            Path(path).write_text(body["csr"], encoding="ascii")
        except OSError as error:
            raise Abort(exits.FAILED, f"{path}: {error.strerror}", "a request made anew replaces this one") from None
        if call.human:
            write(f"{path}: request for CN={body['common_name']}\n", call.options)
        else:
            emit("OcppSecurityResult", [{"status": "Accepted", "reason": ""}], [], call.options, single=True)
    note("let an authority sign it, then: evsectl ocpp certs install-client FILE; a new request makes this one worthless")
    return exits.OK


@data(certs_app, "OcppSecurityResult", "install-client")
def certs_install_client(
    call: Call,
    source: Annotated[
        str, typer.Argument(help="PEM file: the certificate, then those up to the root; - = standard input", metavar="FILE")
    ],
) -> int:
    """Install the certificate that belongs to the request."""
    pem = _read(source)
    if "PRIVATE KEY" in pem:
        usage(f"{source} holds a private key", "give the certificates alone; the key of the station is made in it and never leaves it")
    code = _result(call, call.ask("ocpp.cert_install_own", pem=pem), "installed")
    note("it is used with profile 3: evsectl ocpp security set-profile 3; with profile 3 already it is tried now")
    return code


def _read(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="ascii")
    except OSError as error:
        raise Abort(exits.USAGE, f"{source}: {error.strerror}", "name a PEM file, or - for standard input") from None
    except UnicodeDecodeError:
        raise Abort(exits.INVALID, f"{source}: not a PEM file", "convert it: openssl x509 -inform der -in FILE") from None


# -- security -------------------------------------------------------------------------------------------------------


@data(security_app, "OcppSecurity", "status")
def security_status(call: Call) -> int:
    """Show profile, password, TLS and warnings."""
    body = call.ask("ocpp.security")
    if call.human:
        write(pages_ocpp.security(body, PROFILES, call.screen), call.options)
    else:
        emit("OcppSecurity", [body], [], call.options, single=True)
    return exits.OK


@data(security_app, "OcppSecurityEvent", "events", key="seq")
def security_events(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 50,
) -> int:
    """Show security events, newest last."""
    items = call.ask("ocpp.security_events", limit=limit)["items"]
    emit("OcppSecurityEvent", items, tables.SECURITY_EVENT, call.options, name="seq", empty="No security event yet.")
    return exits.OK


@data(security_app, "OcppSecurityResult", "set-profile")
def set_profile(
    call: Call,
    profile: Annotated[int, typer.Argument(help="0 to 3", metavar="PROFILE", min=0, max=3)],
    url: Annotated[str, typer.Option("--url", help="Another URL of the CSMS, without the station's name", metavar="URL")] = "",
    yes: Yes = False,
) -> int:
    """Try another security profile or URL."""
    now = call.ask("ocpp.security")
    newest = now["staged"] or now
    weaker = bool(link_weakened((now["profile"], now["url"]), (profile, url or newest["url"])))
    confirm(
        f"{'LOWER' if profile < now['profile'] else 'Change'} the security profile from {now['profile']} to {profile}?",
        lambda: [f"profile {profile}: {PROFILES[profile]}", f"at {url or newest['url']}",
                 *(["everything that is said can then be read and changed on its way"] if weaker else []),
                 "the link is dialled anew; when the CSMS does not accept, the station goes back by itself"],
        yes=yes,
    )  # fmt: skip
    code = _result(call, call.ask("ocpp.set_profile", profile=profile, url=url, confirm=weaker), "staged")
    note(CHANGE_HINT)
    return code


@data(security_app, "OcppSecurityResult", "set-key")
def set_key(call: Call) -> int:
    """Set the password; typed or on standard input."""
    code = _result(call, call.ask("ocpp.set_password", secret=secret("AuthorizationKey")), "staged")
    note(CHANGE_HINT)
    return code


@data(security_app, "Done", "cancel")
def cancel(call: Call) -> int:
    """Drop a change that waits or was given up."""
    body = call.ask("ocpp.cancel_change")
    return call.done(body, body["detail"])


# -- transfers ------------------------------------------------------------------------------------------------------


@data(transfers_app, "OcppTransfer", "status", key="transfer")
def transfers_status(call: Call) -> int:
    """Show what runs, and how the last transfers ended."""
    body = call.ask("ocpp.transfers")
    emit("OcppTransfer", body["items"], tables.TRANSFER, call.options, name="transfer", empty="No transfer runs or has run.")
    if call.human and not call.options.file:
        if body["unanswered"]:
            note(f"{body['unanswered']} messages about them wait for an answer of the CSMS")
        if not body["installer"]:
            note("this station cannot install firmware: no installer is configured")
    return exits.OK


@data(transfers_app, "Done", "cancel")
def transfers_cancel(
    call: Call,
    transfer: Annotated[str, typer.Argument(help="firmware, diagnostics or log", metavar="WHAT")],
    yes: Yes = False,
) -> int:
    """Give up a transfer."""
    if transfer not in TRANSFERS:
        usage(f"there is no transfer {transfer!r}", nearest(transfer, list(TRANSFERS)) or ", ".join(TRANSFERS))
    confirm(f"Give up the {transfer} transfer?", lambda: ["the CSMS is told; it may ask again"], yes=yes)
    body = call.ask("ocpp.transfer_cancel", transfer=transfer)
    return call.done(body, body["detail"])
