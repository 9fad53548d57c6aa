"""The files of a simulated file server, and what is wrong with it. `evse.sim.file_servers` serves them."""

from __future__ import annotations

from collections import deque

import msgspec

FILES_MAX = 64
FILE_MAX = 256 << 20
LOG_MAX = 1000


class FileStore:
    """Files by absolute path, the one user who may see them, and faults. ``home`` is where an FTP login begins."""

    def __init__(self, *, user: str = "", password: str = "", home: str = "/home/station") -> None:
        self.user = user
        self.password = password
        self.home = home
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = {"/", "/home", home}
        self.changed: dict[str, int] = {}  # version of each file: its entity tag and time of change
        self.drops: deque[int] = deque()
        """One entry for each transfer to come: bytes after which its line breaks; -1 = it does not break."""
        self.pause_s = 0.0
        """Between two pieces of 16 KiB."""
        self.silent = False
        """Connections are taken and nothing is ever answered."""
        self.busy = 0
        """So many requests to come are answered with "try again later"."""
        self.readonly = False
        self.log: deque[str] = deque(maxlen=LOG_MAX)
        self.offsets: deque[int] = deque(maxlen=LOG_MAX)
        """Where each transfer began."""

    def put(self, path: str, content: bytes) -> None:
        """Store a file; its directories are made."""
        if len(content) > FILE_MAX or (path not in self.files and len(self.files) >= FILES_MAX):
            raise ValueError(f"{path}: a simulated server takes {FILES_MAX} files of at most {FILE_MAX} bytes")
        self.files[path] = content
        self.changed[path] = self.changed.get(path, 0) + 1
        folder = path.rpartition("/")[0]
        while folder:
            self.folders.add(folder)
            folder = folder.rpartition("/")[0]

    def admits(self, user: str, password: str) -> bool:
        """Tell whether somebody may come in; without a user of its own the server takes everybody."""
        return not self.user or (user, password) == (self.user, self.password)

    def next_drop(self) -> int:
        """Bytes after which the transfer that begins now breaks, -1 = never."""
        return self.drops.popleft() if self.drops else -1

    def is_busy(self) -> bool:
        """Tell whether this request is answered with "later", and count it."""
        if self.busy > 0:
            self.busy -= 1
            return True
        return False


class ServedAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a simulated server listens."""

    scheme: str
    port: int

    def url(self, path: str, user: str = "", password: str = "") -> str:
        """A URL of it; user and password as they shall stand in it."""
        who = f"{user}:{password}@" if user else ""
        return f"{self.scheme}://{who}127.0.0.1:{self.port}{path}"
