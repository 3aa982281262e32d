"""Files of the kernel's that are read with every beat: kept open, because opening one takes ten times as long."""

from __future__ import annotations

import os


class Reading:
    """One such file. A device that went and came back has another one behind the same path; the old one fails then."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    def read(self) -> bytes:
        """What it says now, without blanks around it. Raises OSError."""
        if self._file is not None:
            try:
                return os.pread(self._file, 64, 0).strip()
            except OSError:
                self.close()
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._file, 64, 0).strip()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
