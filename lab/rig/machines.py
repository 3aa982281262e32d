"""A machine of the rig: a nested set of namespaces over the lab's Debian root, with the machine's files of its own.

No systemd and no LXC: the first process sleeps, and programs are started from outside. Killing the first process is
a power cut for all of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.kubelet import SYSCTL
from lab.rig.world import HOME, LOGS, children
from lab.shell import LabError, run
from tools import paths

_BOOTS_WITHIN = 10.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The kernel makes a dead machine's links vanish a moment later; its processes go at once.
_ENDS_WITHIN = 5.0
_INIT = """
set -eu
cd "$FOLDER"
mkdir -p delta work root
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=delta,workdir=work" root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
for folder in $SHARED; do
  mkdir -p ".$folder"
  mount --bind "$folder" ".$folder"
  mount -o remount,bind,ro ".$folder"
done
hostname "$NAME"
ip link set lo up
sysctl -q -p etc/sysctl.d/90-tailspan.conf
: >run/booted
exec chroot . /usr/bin/sleep infinity
"""


@dataclass
class Machine:
    """`shared`: folders of the host that the machine sees read-only under the same path."""

    name: str
    shared: Sequence[Path] = ()
    _holder: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
    pid: int = 0

    @property
    def folder(self) -> Path:
        return HOME / "machines" / self.name

    def put(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """A file on the machine's disk; it outlives a power cut."""
        # The running machine's root is mounted in its own namespace only.
        top = Path(f"/proc/{self.pid}/root") if self.is_on else self.folder / "delta"
        file = top / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)

    def boot(self) -> None:
        self.put("/etc/sysctl.d/90-tailspan.conf", SYSCTL)
        self.put("/etc/hosts", f"127.0.0.1 localhost {self.name}\n")
        env = {
            "PATH": os.environ["PATH"],
            "NAME": self.name,
            "FOLDER": str(self.folder),
            "LOWER": str(paths.machine_rootfs()),
            "SHARED": " ".join(str(folder) for folder in self.shared),
        }
        command = ["unshare", "--pid", "--net", "--mount", "--uts", "--fork", "--kill-child=KILL"]
        command += ["--mount-proc", "--propagation", "private", "--", "sh", "-c", _INIT]
        log = LOGS / f"{self.name}.boot.log"
        with log.open("ab") as out:
            self._holder = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._wait_until_booted(log)

    def _wait_until_booted(self, log: Path) -> None:
        assert self._holder is not None
        deadline = time.monotonic() + _BOOTS_WITHIN
        while True:
            first = next(iter(children(self._holder.pid)), 0)
            if first and Path(f"/proc/{first}/root/run/booted").exists():
                self.pid = first
                return
            if self._holder.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"machine {self.name}: did not boot ({log}):\n{log.read_text()}")
            time.sleep(0.01)

    def end(self) -> None:
        """Everything on the machine is killed at once; its disk stays."""
        if self._holder is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._holder.wait(timeout=_ENDS_WITHIN)
        for process in self._running.values():
            process.wait(timeout=_ENDS_WITHIN)
        self._running.clear()
        self._holder, self.pid = None, 0

    @property
    def is_on(self) -> bool:
        return self.pid != 0

    def argv(self, words: Sequence[str | Path], env: Mapping[str, str] | None = None) -> list[str]:
        """The command that runs `words` on the machine."""
        if not self.is_on:
            raise LabError(f"machine {self.name}: is off, `{' '.join(map(str, words))}` cannot run")
        enter = ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--uts", "--root", "--wd=/"]
        values = {"PATH": _PATH, "HOME": "/root"} | dict(env or {})
        return [*enter, "env", "-i", *(f"{k}={v}" for k, v in values.items()), *map(str, words)]

    def run(
        self, *words: str | Path, stdin: str | None = None, check: bool = True, timeout: float = 20
    ) -> subprocess.CompletedProcess[str]:
        return run(self.argv(words), stdin=stdin, check=check, timeout=timeout)

    def sh(self, script: str, *, check: bool = True) -> str:
        """A shell script on the machine; stops at its first failure."""
        return self.run("sh", "-euc", script, check=check).stdout

    def start(self, program: str, words: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Path:
        """Starts a program that stays; returns its log, to which a later start of the same program appends."""
        log = self.log(program)
        with log.open("ab") as out:
            self._running[program] = subprocess.Popen(
                self.argv(words, env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return log

    def log(self, program: str) -> Path:
        return LOGS / f"{self.name}.{program}.log"

    def runs(self, program: str) -> bool:
        """Whether what was started under this name still runs."""
        process = self._running.get(program)
        return process is not None and process.poll() is None

    def signal(self, program: str, number: signal.Signals) -> None:
        """To the program itself; the process that entered the machine only waits for it."""
        if not self.runs(program):
            raise LabError(f"machine {self.name}: {program} does not run, it cannot get {number.name}")
        for pid in children(self._running[program].pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_for_end(self, program: str, *, within: float) -> bool:
        process = self._running.get(program)
        if process is not None:
            try:
                process.wait(timeout=within)
            except subprocess.TimeoutExpired:
                return False
        return True

    def processes(self, name: str) -> list[int]:
        """Processes of the machine whose program file has that name, whoever started them."""
        mine, found = os.readlink(f"/proc/{self.pid}/ns/pid"), []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                argv0 = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                if Path(argv0).name == name and os.readlink(entry / "ns/pid") == mine:
                    found.append(int(entry.name))
        return found
