"""pyftpdlib as a process of its own: an FTP(S) server that somebody else wrote. Prints its port, then the name of each
file that it has stored and closed, whole or not.

Arguments: directory, user, password, "" or a PEM file with key and certificate. Without TLS it does not take uploads
that go on with REST, as some servers are set up; APPE it takes.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from pyftpdlib.authorizers import DummyAuthorizer  # noqa: E402
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler  # noqa: E402
from pyftpdlib.servers import FTPServer  # noqa: E402


class Tells:
    """Says when the end of an upload has been dealt with, also that of one whose line broke."""

    def on_file_received(self, file: str) -> None:
        print(Path(file).name, flush=True)

    on_incomplete_file_received = on_file_received


class WithTls(Tells, TLS_FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """All over TLS."""


class NoStoreRestart(Tells, FTPHandler):  # type: ignore[misc]
    """AllowStoreRestart off, in the words of ProFTPD."""

    def ftp_STOR(self, file: str, mode: str = "w") -> None:
        if self._restart_position:
            self._restart_position = 0
            self.respond("451 STOR: Append/Restart not permitted, try again")
        else:
            super().ftp_STOR(file, mode)


def main(folder: str, user: str, password: str, pem: str) -> None:
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, folder, perm="elradfmwMT")
    handler = WithTls if pem else NoStoreRestart
    handler.authorizer = authorizer
    if pem:
        handler.certfile = pem
        handler.tls_control_required = handler.tls_data_required = True
    logging.basicConfig(level=logging.ERROR)
    server = FTPServer(("127.0.0.1", 0), handler)
    print(server.address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
