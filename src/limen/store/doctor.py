"""What this machine and one store are like, as far as numbers and their safety depend on it; no host or user name.

`doctor` reads everything, hashes every stored result, and changes nothing.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import psutil
from threadpoolctl import threadpool_info

from limen.arrays.environment import environment
from limen.arrays.thread_check import ThreadCheck, thread_check
from limen.records.errors import Problem
from limen.records.units import human
from limen.store.disk import free_bytes
from limen.store.store import Store

SCHEMA = "limen.doctor/1"
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p"})
_LOW_DISK = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The state of one store."""

    root: str
    results: int
    bytes: int
    failures: int
    unlisted: int
    """Published results the ledger does not list; the next run adopts them."""
    holder: str
    """The run that holds the store now; empty when it is free."""
    file_system: str
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Environment facts, the store's state, and what is wrong with either."""

    platform: str
    processor: str
    cpus: int
    """Processors this process may use."""
    memory_bytes: int
    memory_available_bytes: int
    gpus: tuple[str, ...]
    """Devices the operating system shows; no driver is asked."""
    sqlite: str
    pools: tuple[Mapping[str, Any], ...]
    """Thread pools of the loaded numerical libraries: user_api, internal_api, version, num_threads, architecture."""
    environment: Mapping[str, Any]
    product: ThreadCheck
    """One product timed on one thread and on as many as the library takes by itself."""
    store: StoreReport | None
    problems: tuple[Problem, ...]

    def text(self) -> str:
        """The facts for a terminal, one a line; problems are not among them."""
        versions = ", ".join(f"{name} {version}" for name, version in self.environment.get("versions", {}).items())
        pools = [_pool_text(pool) for pool in self.pools] or ["none loaded"]
        facts = [
            ("platform", self.platform),
            ("processor", f"{self.processor}, {self.cpus} usable"),
            ("memory", f"{human(self.memory_bytes)}, {human(self.memory_available_bytes)} available"),
            ("GPU", ", ".join(self.gpus) or "none"),
            ("SQLite", self.sqlite),
            ("versions", versions),
            *[("threads", pool) for pool in pools],
            ("warning" if self.product.slowed else "product", self.product.text()),
            *([] if self.store is None else _store_facts(self.store)),
        ]
        return "\n".join(
            fill(value, 80, initial_indent=f"{name:<10} ", subsequent_indent=" " * 11, break_on_hyphens=False)
            for name, value in facts
        )

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.doctor/1."""
        product = asdict(self.product) | {"slowed": self.product.slowed, "finding": self.product.text()}
        return {"schema": SCHEMA, **asdict(self), "product": product}


def doctor(store: Path | None = None) -> DoctorReport:
    """Look at this machine and, if given, at a store: its ledger, every byte of its results, its file system.

    Raises StoreError for a store of a newer Limen.

    >>> doctor().to_json()["schema"]
    'limen.doctor/1'
    """
    memory = psutil.virtual_memory()
    shown = ("user_api", "internal_api", "version", "num_threads", "architecture", "threading_layer")
    report, problems = _examined(Store(store)) if store is not None else (None, ())
    return DoctorReport(
        platform=platform.platform(),
        processor=_processor(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=memory.total,
        memory_available_bytes=memory.available,
        gpus=_gpus(),
        sqlite=sqlite3.sqlite_version,
        pools=tuple({key: pool[key] for key in shown if key in pool} for pool in threadpool_info()),
        environment=environment(),
        product=thread_check(),
        store=report,
        problems=problems,
    )


def _examined(store: Store) -> tuple[StoreReport, tuple[Problem, ...]]:
    rows, holder, room = store.rows(), store.holder(), free_bytes(store.root)
    system = _file_system(store.root)
    problems = [problem for key in sorted(store.published()) for problem in _damage(store, key)]
    problems += [
        Problem(
            str(path),
            "expected a record of a failed cell, found unreadable text",
            cause="the file was edited or damaged; no result depends on it",
            fix="remove the file",
        )
        for path in store.unreadable_failures()
    ]
    if system in _NETWORK:
        problems.append(
            Problem(
                str(store.root),
                f"expected a local disk, found a network file system ({system})",
                cause="locks and renames are weaker there; SQLite is known to be damaged on some",
                fix="keep the store on a local disk (--store)",
            )
        )
    if room is not None and room < _LOW_DISK:
        problems.append(Problem(str(store.root), f"only {human(room)} free", fix="free space or use another --store"))
    report = StoreReport(
        root=str(store.root),
        results=len(rows),
        bytes=sum(row.bytes for row in rows),
        failures=len(store.failures()),
        unlisted=len(store.unlisted()),
        holder="" if holder is None else f"process {holder.pid} since {holder.since}",
        file_system=system,
        free_bytes=room,
    )
    return report, tuple(problems)


def _damage(store: Store, key: str) -> tuple[Problem, ...]:
    """What is wrong with one result, and which results rest on it."""
    found = store.writer.problems(key, again=True)
    if not found:
        return ()
    resting = ", ".join(f"{row.label} ({row.stage})" for row in store.dependents(key))
    fix = "run `limen verify`: it quarantines the result, and the next run does its cell again"
    rests = f"; results that rest on it: {resting}" if resting else ""
    return tuple(Problem(p.where, p.what, f"{p.cause or 'damaged'}{rests}", fix) for p in found)


def _pool_text(pool: Mapping[str, Any]) -> str:
    known = [str(pool[key]) for key in ("internal_api", "version", "architecture") if pool.get(key)]
    return f"{' '.join(known)}: {pool.get('num_threads', '?')} threads"


def _store_facts(store: StoreReport) -> list[tuple[str, str]]:
    free = "unknown" if store.free_bytes is None else human(store.free_bytes)
    unlisted = f", {store.unlisted} not listed yet" if store.unlisted else ""
    failed = f", {store.failures} failed cells" if store.failures else ""
    return [
        ("store", store.root),
        ("results", f"{store.results} in {human(store.bytes)}{unlisted}{failed}"),
        ("disk", f"{store.file_system}, {free} free"),
        ("held by", store.holder or "no run"),
    ]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in _lines(info) if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> tuple[str, ...]:
    nvidia = Path("/proc/driver/nvidia/gpus")
    cards = sorted(nvidia.glob("*/information"))
    names = [line.partition(":")[2].strip() for card in cards for line in _lines(card) if line.startswith("Model:")]
    return (*names, *(["AMD GPU (/dev/kfd)"] if Path("/dev/kfd").exists() else []))


def _file_system(path: Path) -> str:
    """Type of the mounted file system that holds `path`."""
    resolved = path.resolve()
    mounts = {Path(mount.mountpoint): str(mount.fstype) for mount in psutil.disk_partitions(all=True)}
    return next((mounts[folder] for folder in (resolved, *resolved.parents) if folder in mounts), "unknown")


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.is_file() else []
