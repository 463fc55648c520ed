"""One writer at a time for each part of a lake: leases in ops/locks, taken and renewed by commits that cannot both win.

A lease counts as given up when its process is gone from this machine, or when it was not renewed for as long as it
promised, by the clock of whoever waits: no two machines' clocks are compared, and a clock that jumps frees nothing.
After a long pause a holder can find its lease in other hands; it then publishes nothing, and what it still writes has
a lower attempt number than its successor's.
"""

import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from deltalake.exceptions import DeltaError

from shelfcast.errors import LakeBusy
from shelfcast.lake.commits import Base, commit, newest, until_won
from shelfcast.settings import Locks as Terms

TABLE = "ops/locks"
EVERYTHING = "*"  # ingest and features write slices that all as-of dates share
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Lease:
    """A row of ops/locks.

    Attributes:
        scope: a slice, or EVERYTHING.
        run_id: who holds it.
        host: the machine's name, and which of its starts.
        process: its number there, and when after the machine's start it began.
        since: when it was taken.
        seconds: how long it lasts without being renewed.
        beat: rises with every renewal.
    """

    scope: str
    run_id: str
    host: str
    process: str
    since: datetime
    seconds: float
    beat: int = 0

    def told(self) -> str:
        machine, number = self.host.split(" ")[0], self.process.split(" ")[0]
        return f"run {self.run_id}, process {number} on {machine}, since {self.since:%Y-%m-%d %H:%M} UTC"

    def orphaned(self) -> bool:
        """Whether its process ran on this machine and is gone."""
        return self.host == _host() and not _alive(self.process)


class Locks:
    """The locks of one run on one lake; what a thread holds already, it simply holds once more.

    Args:
        lake: the lake's URI.
        run_id: the run.
        terms: how long leases last, and how long to wait for those of others.
    """

    def __init__(self, lake: str, run_id: str, terms: Terms) -> None:
        self.lake, self.run_id, self.terms = lake, run_id, terms
        self._threads: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._within: dict[str, int] = defaultdict(int)  # scope → in how many of its thread's blocks we are
        self._held: set[str] = set()
        self._keeper: threading.Thread | None = None

    @contextmanager
    def held(self, scope: str, say: Callable[[str], None] = print) -> Iterator[None]:
        """Inside, nobody else writes this scope.

        Raises:
            LakeBusy: naming the holder, if it is still held when the wait is over.
        """
        with self.kept(scope):
            if scope not in self._held:
                self._acquire(scope, say)
                self._held.add(scope)
                self._keep()
            yield

    @contextmanager
    def kept(self, scope: str) -> Iterator[None]:
        """What is held of a scope inside stays held to the end; where nothing asks for it, nothing is locked."""
        with self._threads[scope]:
            self._within[scope] += 1
            try:
                yield
            finally:
                self._within[scope] -= 1
                if not self._within[scope] and scope in self._held:
                    self._held.remove(scope)
                    until_won(lambda: self._released(scope))

    def require(self) -> None:
        """Check that everything is still held, before readers are shown what was written.

        Raises:
            LakeBusy: if another run took a lease over, because this one was not heard of for too long.
        """
        found = _leases(newest(self.lake, TABLE))
        gone = sorted(scope for scope in [*self._held] if not self._own(found.get(scope)))
        if gone:
            raise LakeBusy(
                f"lake {self.lake}: another run took over {', '.join(map(_named, gone))} after this one had not been "
                f"heard of for {self.terms.lease_minutes:g} minutes; nothing was published: run again"
            )

    def _own(self, lease: Lease | None) -> bool:
        return lease is not None and lease.run_id == self.run_id

    def _acquire(self, scope: str, say: Callable[[str], None]) -> None:
        began = unchanged = time.monotonic()
        seen: Lease | None = None
        told = ""
        while True:
            base = newest(self.lake, TABLE)
            holder = _leases(base).get(scope)
            now = time.monotonic()
            if holder != seen:
                seen, unchanged = holder, now
            if holder is None or holder.orphaned() or now - unchanged > holder.seconds:
                if _swap(base, scope, self._new(scope)):
                    if holder is not None:
                        say(f"{_named(scope)} was left locked by {holder.told()}, which is gone")
                    return
            elif now - began > 60 * self.terms.wait_minutes:
                raise LakeBusy(
                    f"{_named(scope)} of lake {self.lake} is held by {holder.told()}: wait for that run, or raise "
                    "locks.wait_minutes"
                )
            elif told != holder.run_id:
                told = holder.run_id
                say(f"waiting for {_named(scope)}, held by {holder.told()}")
            time.sleep(_POLL_SECONDS)

    def _new(self, scope: str) -> Lease:
        process = f"{os.getpid()} {_began(os.getpid())}"
        return Lease(scope, self.run_id, _host(), process, datetime.now(UTC), 60 * self.terms.lease_minutes)

    def _released(self, scope: str) -> bool | None:
        base = newest(self.lake, TABLE)
        return not self._own(_leases(base).get(scope)) or _swap(base, scope, None) or None

    def _keep(self) -> None:
        """Renew what is held for as long as this process lives."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._renew, name="leases", daemon=True)
            self._keeper.start()

    def _renew(self) -> None:
        while True:
            time.sleep(20 * self.terms.lease_minutes)  # a third of a lease
            for scope in [*self._held]:
                # Where the store does not answer, the next beat may come through before the lease is over.
                with suppress(OSError, DeltaError):
                    until_won(partial(self._beaten, scope))

    def _beaten(self, scope: str) -> bool | None:
        base = newest(self.lake, TABLE)
        lease = _leases(base).get(scope)
        if lease is None or lease.run_id != self.run_id:
            return True
        return _swap(base, scope, replace(lease, beat=lease.beat + 1)) or None


def leases(lake: str) -> list[Lease]:
    """What is held now, by whom."""
    return sorted(_leases(newest(lake, TABLE)).values(), key=lambda lease: lease.scope)


def _leases(base: Base) -> dict[str, Lease]:
    return {row["scope"]: Lease(**row) for row in base.rows()}


def _swap(base: Base, scope: str, lease: Lease | None) -> bool:
    """Set a scope's lease, or free it; False if somebody else's commit came first."""
    rows = {**_leases(base), scope: lease}
    return commit(base, [asdict(row) for row in rows.values() if row is not None], "overwrite")


def _named(scope: str) -> str:
    return "what all slices share" if scope == EVERYTHING else f"slice {scope}"


@cache
def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else '-'}"


def _began(process: int) -> str:
    """When a process began, in ticks since the machine's start; "" if it is gone."""
    try:
        # Behind the name, which may hold anything, in parentheses: state, …, the twentieth is the start. See proc(5).
        found = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if found[0] in "ZX" else found[19]


def _alive(process: str) -> bool:
    number, _, began = process.partition(" ")
    return _began(int(number)) == began
