"""FTP and FTPS, passive, in a thread of their own (ftplib); every piece passes through the event loop, and so does the
opening of both connections: it is the station's own dialling, through its proxy and by its interface.

TLS: explicit (AUTH TLS) for ``ftpes``, and for ``ftp`` where the option asks to try it; implicit for ``ftps``. The data
connection resumes the TLS session of the control connection, which many servers demand. Downloads go on with REST when
size and time of the file are still the same; uploads go on where the server's file ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import socket
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from evse.ocpp.transfers.attempt import said, tls_of
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.partial import PartFile
from evse.ocpp.transfers.ports import Net, Progress
from evse.ocpp.transfers.target import ANONYMOUS, Target
from evse.transports.dialling import open_socket

T = TypeVar("T")

Dial = Callable[[str, int], socket.socket]
"""Connects to host and port; raises `DialError`."""

CHUNK: Final = 256 * 1024
ANSWER_LINES_MAX: Final = 1000
SHUTDOWN_S: Final = 5.0
"""Wait for the other side's end of a TLS data connection; some servers never say it."""


class _Client(ftplib.FTP_TLS):
    """ftplib with what the field needs: sockets from ``dial``, implicit TLS, one TLS session, closing from another thread.

    ``proxied``: the other end of the control connection is not the server."""

    def __init__(self, context: ssl.SSLContext, dial: Dial, *, implicit: bool, proxied: bool, timeout_s: float) -> None:
        super().__init__(context=context, timeout=timeout_s, encoding="utf-8")
        self._dial = dial
        self._implicit = implicit
        self._proxied = proxied
        self._conn: socket.socket | None = None
        self._lines = 0

    def begin(self, host: str, port: int) -> None:
        """Connect and read the greeting."""
        self.host, self.port = host, port
        sock = self._dial(host, port)
        self.sock = sock
        if self._implicit:
            self.sock = self.context.wrap_socket(sock, server_hostname=host)
        self.af = sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding, errors="replace")
        self.welcome = self.getresp()

    def putcmd(self, line: str) -> None:
        """Send a command; its answer may have `ANSWER_LINES_MAX` lines."""
        self._lines = 0
        super().putcmd(line)

    def getline(self) -> str:
        """Read a line of an answer."""
        self._lines += 1
        if self._lines > ANSWER_LINES_MAX:
            raise ftplib.error_proto("an answer without end")
        return super().getline()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open the data connection, inside the TLS session of the control connection."""
        conn = self._conn = self._dial(*self.makepasv())
        try:
            if rest is not None:
                self.sendcmd(f"REST {rest}")
            answer = self.sendcmd(cmd)
            if answer.startswith("2"):  # some servers say first that they are ready
                answer = self.getresp()
            if not answer.startswith("1"):
                raise ftplib.error_reply(answer)
            if self._prot_p:  # type: ignore[attr-defined]  # ftplib: PROT P was agreed
                session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
                self._conn = conn = self.context.wrap_socket(conn, server_hostname=self.host, session=session)
        except BaseException:
            conn.close()
            raise
        return conn, None

    def makepasv(self) -> tuple[str, int]:
        """Ask for passive mode and return where the data connection goes: to the host of the control connection,
        whatever address the server knows itself by. Through a proxy and over IPv6 by EPSV, PASV if it is not known."""
        host = self.host if self._proxied or self.sock is None else str(self.sock.getpeername()[0])
        try:
            if self._proxied or self.af == socket.AF_INET6:
                with contextlib.suppress(ftplib.error_perm):
                    return host, ftplib.parse229(self.sendcmd("EPSV"), (host, 0))[1]
            return host, ftplib.parse227(self.sendcmd("PASV"))[1]
        except ftplib.error_perm as error:
            text = (
                f"{self.host}: refuses passive mode ({said(str(error))}); active FTP would connect to the station, which "
                "neither a proxy nor a modem lets through: allow passive mode at the server"
            )
            raise TransferError(Why.UNSUPPORTED, text) from error

    def break_off(self) -> None:
        """Wake whoever waits in another thread; nothing is said to the server."""
        for sock in (self._conn, self.sock):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class _Job:
    """One transfer in a thread. ``ask`` runs a coroutine in the loop; ``stopped`` = nobody wants the result any more."""

    def __init__(self, net: Net, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.net = net
        self.target = target
        self.stopped = False
        self._loop = loop
        self._client: _Client | None = None
        self._dialling: asyncio.Task[Any] | None = None

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` in the event loop and wait for it."""
        if self.stopped:
            work.close()
            raise EOFError
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a connected socket that blocks for `Limits.idle_s` at most."""
        try:
            sock = self.ask(self._dial(host, port))
        except CancelledError as error:
            raise EOFError from error
        sock.settimeout(self.net.limits.idle_s)
        if self.stopped:
            sock.close()
            raise EOFError
        return sock

    async def _dial(self, host: str, port: int) -> socket.socket:
        if self.stopped:
            raise EOFError
        self._dialling = asyncio.current_task()
        return await open_socket(host, port, self.net.dial, self.net.limits.connect_s)

    def tell(self, progress: Progress, done: int, total: int | None) -> None:
        """Report progress to the event loop."""
        self._loop.call_soon_threadsafe(self._tell, progress, done, total)

    def _tell(self, progress: Progress, done: int, total: int | None) -> None:
        if not self.stopped:
            progress(done, total)

    def stop(self) -> None:
        """End the thread soon. Called in the event loop."""
        self.stopped = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._client is not None:
            self._client.break_off()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def connect(self) -> _Client:
        """Connect, make it safe, log in, change to binary."""
        target, limits = self.target, self.net.limits
        tries = target.scheme != "ftp" or self.net.ftp_try_tls
        context = tls_of(self.net, target) if tries else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client = _Client(
            context, self.dial, implicit=target.scheme == "ftps", proxied=bool(self.net.dial.proxy), timeout_s=limits.idle_s
        )
        self._client = client
        client.begin(target.host, target.port)
        if self.stopped:
            raise EOFError
        secure = target.scheme != "ftp" or (self.net.ftp_try_tls and self._offers_tls(client))
        if target.scheme == "ftpes":
            self._auth(client)
        user = target.user or ANONYMOUS
        try:
            client.login(user, target.password or ("" if target.user else "evse@"), secure=False)
        except ftplib.error_perm as error:
            text = f"{target.netloc}: refuses user {user} ({said(str(error))}); check user name and password in the address"
            raise TransferError(Why.CREDENTIALS, text) from error
        if secure:
            client.prot_p()
        client.voidcmd("TYPE I")
        return client

    def _auth(self, client: _Client) -> None:
        try:
            client.auth()
        except ftplib.error_perm as error:
            text = f"{self.target.netloc}: has no TLS ({said(str(error))}); use ftp:// if that is wanted"
            raise TransferError(Why.UNSUPPORTED, text) from error

    @staticmethod
    def _offers_tls(client: _Client) -> bool:
        try:
            client.auth()
        except ftplib.error_perm:
            return False
        return True

    def enter(self, client: _Client, folders: list[str]) -> None:
        """Change into one directory after the other."""
        for folder in folders:
            try:
                client.cwd(folder)
            except ftplib.error_perm as error:
                text = f"{self.target.shown()}: no way into the directory {folder} ({said(str(error))}); check path and rights"
                raise TransferError(Why.SERVER, text) from error


async def _in_thread(net: Net, target: Target, work: Callable[[_Job], None]) -> None:
    """Run ``work`` in a thread; a cancellation breaks its connections off and waits until the thread has ended."""
    loop = asyncio.get_running_loop()
    job = _Job(net, target, loop)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ftp")
    ended = loop.run_in_executor(pool, _translated, job, work)
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        job.stop()
        await asyncio.wait([ended])
        if not ended.cancelled():
            ended.exception()  # seen
        raise
    finally:
        pool.shutdown(wait=False)


def _translated(job: _Job, work: Callable[[_Job], None]) -> None:
    where = job.target.netloc
    try:
        work(job)
    except ftplib.error_temp as error:
        text = f"{where}: the server cannot do it now ({said(str(error))})"
        raise TransferError(Why.LINE, text) from error
    except ftplib.error_perm as error:
        raise TransferError(Why.SERVER, f"{where}: the server refuses ({said(str(error))})") from error
    except OSError:  # an invalid certificate is a ValueError too
        raise
    except (ftplib.Error, UnicodeError, ValueError) as error:
        text = f"{where}: does not answer like an FTP server ({said(str(error))}); check the port of the address"
        raise TransferError(Why.SERVER, text) from error
    finally:
        job.close()


async def fetch_ftp(net: Net, target: Target, into: PartFile, progress: Progress) -> None:
    """RETR, from where ``into`` ends when it is still the same file."""

    def work(job: _Job) -> None:
        folders, name = target.ftp_steps()
        if not name:
            raise TransferError(Why.ADDRESS, f"{target.shown()}: names a directory, not a file")
        client = job.connect()
        job.enter(client, folders)
        total, changed = _size(client, name), _changed(client, name)
        validator = f"{changed}/{total}" if total is not None and changed else ""
        offset = into.size if into.size and validator and validator == into.saved.validator else 0
        job.ask(into.begin(offset, total, validator))
        job.tell(progress, offset, total)
        if offset and offset == total:
            return
        try:
            conn, _ = client.ntransfercmd(f"RETR {name}", offset or None)
        except ftplib.error_perm as error:
            text = f"{target.shown()}: is not there or may not be read ({said(str(error))})"
            raise TransferError(Why.SERVER, text) from error
        with conn:
            while piece := conn.recv(CHUNK):
                job.ask(into.write(piece))
                job.tell(progress, into.size, total)
        client.voidresp()
        _quit(client)

    await _in_thread(net, target, work)


async def send_ftp(net: Net, target: Target, path: Path, name: str, progress: Progress) -> None:
    """STOR below the directory of the address; an address that is no directory is taken as the name of the file."""

    def work(job: _Job) -> None:
        folders, last = target.ftp_steps()
        client = job.connect()
        job.enter(client, folders)
        stored = name
        if last:
            try:
                client.cwd(last)
            except ftplib.error_perm:
                stored = last
        total = path.stat().st_size
        there = (_size(client, stored) or 0) if stored == name else 0  # names of ours are made once only
        conn, offset = _open_upload(job, client, stored, there if there < total else 0)
        with path.open("rb") as file:
            file.seek(offset)
            done = offset
            with conn:
                while piece := file.read(CHUNK):
                    if job.stopped:
                        raise EOFError
                    conn.sendall(piece)
                    done += len(piece)
                    job.tell(progress, done, total)
                if isinstance(conn, ssl.SSLSocket):
                    conn.settimeout(SHUTDOWN_S)
                    with contextlib.suppress(OSError, ValueError):
                        conn.unwrap()
        client.voidresp()
        arrived = _size(client, stored)
        if arrived is not None and arrived != total:
            raise TransferError(Why.LINE, f"{target.netloc}: the server has {arrived} of {total} bytes")
        _quit(client)

    await _in_thread(net, target, work)


def _open_upload(job: _Job, client: _Client, stored: str, there: int) -> tuple[socket.socket, int]:
    """Return the data connection and where the file goes on: behind the ``there`` bytes that the server has, by REST
    or, where that is not permitted, by APPE; else at 0."""
    if there:
        for command, rest in ((f"STOR {stored}", there), (f"APPE {stored}", None)):
            with contextlib.suppress(ftplib.error_perm, ftplib.error_temp, ftplib.error_reply):
                return client.ntransfercmd(command, rest)[0], there
    try:
        return client.ntransfercmd(f"STOR {stored}")[0], 0
    except ftplib.error_perm as error:
        text = f"{job.target.shown()}: {stored} may not be stored there ({said(str(error))}); check path and rights"
        raise TransferError(Why.CREDENTIALS, text) from error


def _quit(client: _Client) -> None:
    """Say goodbye; what has arrived has arrived."""
    with contextlib.suppress(OSError, EOFError, ftplib.Error):
        client.quit()


def _size(client: _Client, name: str) -> int | None:
    try:
        return client.size(name)
    except (ftplib.error_perm, ftplib.error_reply, ValueError):
        return None


def _changed(client: _Client, name: str) -> str:
    """Time of the last change (MDTM), "" when the server does not tell."""
    try:
        return said(client.voidcmd(f"MDTM {name}"))
    except (ftplib.error_perm, ftplib.error_reply):
        return ""
