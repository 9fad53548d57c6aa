"""pyftpdlib as a process of its own: an FTP(S) server that somebody else wrote. Prints its port.

Arguments: directory, user, password, "" or a PEM file with key and certificate. Without TLS it does not take uploads
that go on with REST, as some servers are set up; APPE it takes.
"""

from __future__ import annotations

import logging
import sys
import warnings

warnings.simplefilter("ignore")

from pyftpdlib.authorizers import DummyAuthorizer  # noqa: E402
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler  # noqa: E402
from pyftpdlib.servers import FTPServer  # noqa: E402


class NoStoreRestart(FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
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
    handler = TLS_FTPHandler if pem else NoStoreRestart
    handler.authorizer = authorizer
    if pem:
        handler.certfile = pem
        handler.tls_control_required = handler.tls_data_required = True
    logging.basicConfig(level=logging.ERROR)
    server = FTPServer(("127.0.0.1", 0), handler)
    sys.stdout.write(f"{server.address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
