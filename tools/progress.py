"""Says what is being built: live rows on a terminal, elsewhere a plain line every twenty seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import Progress as Rows
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

PLAIN_SECONDS = 20.0


class Task:
    """One row: what runs, what it does just now."""

    def __init__(self, name: str, rows: Rows | None) -> None:
        self.name = name
        self.detail = ""
        self.started = time.monotonic()
        self._rows = rows
        self._row: TaskID | None = rows.add_task(name, total=None, detail="") if rows else None

    def say(self, detail: str) -> None:
        self.detail = detail
        if self._rows is not None and self._row is not None:
            self._rows.update(self._row, detail=detail)

    def remove(self) -> None:
        if self._rows is not None and self._row is not None:
            self._rows.remove_task(self._row)

    @property
    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self.started)
        return f"{seconds // 60}:{seconds % 60:02d}"


class Progress:
    def __init__(self, plain_seconds: float = PLAIN_SECONDS) -> None:
        self._console = Console()
        self._rows = self._make_rows() if self._console.is_terminal else None
        self._tasks: list[Task] = []
        self._plain_seconds = plain_seconds
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def _make_rows(self) -> Rows:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        return Rows(*columns, console=self._console)

    def __enter__(self) -> Progress:
        if self._rows:
            self._rows.start()
        else:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._rows:
            self._rows.stop()

    @contextmanager
    def task(self, name: str, expected: str = "") -> Iterator[Task]:
        """A piece of work; its end is told with the time it took, unless there was nothing to do."""
        task = Task(name, self._rows)
        task.say(expected)
        self._tasks.append(task)
        if expected and not self._rows:
            self.line(f"{name}: started, {expected}")
        try:
            yield task
            if expected or time.monotonic() - task.started > 1:
                self.line(f"{name}: done in {task.elapsed}")
        finally:
            self._tasks.remove(task)
            task.remove()

    def line(self, text: str) -> None:
        if self._rows:
            self._rows.console.print(text, highlight=False)
        else:
            print(text, flush=True)

    def _tick(self) -> None:
        while not self._stop.wait(self._plain_seconds):
            for task in tuple(self._tasks):
                print(
                    f"  {task.elapsed} {task.name}: {task.detail or 'running'}", file=sys.stdout, flush=True
                )
