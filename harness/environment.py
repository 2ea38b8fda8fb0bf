"""What the numbers were measured on: machine, versions, load. Written once a run, next to its records, and read."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "torchvision", "numpy", "pandas", "pillow", "dill", "cloudpickle", "safetensors", "scikit-learn",
    "sentencepiece", "scipy", "pytest", "pytest-benchmark", "roundtrip-bench",
)  # fmt: skip


def collect(threads: int | None = None) -> dict[str, Any]:
    """The environment; `environment_id` is a digest of what is stable in it (versions and machine, not load)."""
    stable = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "torch_threads": threads,
        "governor": _governor(),
        "versions": {name: _version(name) for name in PACKAGES},
    }
    digest = hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]
    return {"environment_id": digest, **stable, "load_average": load_average()}


def read_environment(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """`environment.json` of a run, and notes where it cannot be read or says that parts are missing."""
    path = folder / "environment.json"
    if not path.is_file():
        return None, ["environment.json is missing: the machine and the versions are not known"]
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return None, [f"environment.json cannot be read ({error}): the machine and the versions are not known"]
    if not isinstance(raw, dict):
        return None, ["environment.json holds no object: the machine and the versions are not known"]
    if raw.get("left_out"):
        return raw, [
            f"parts of this run ended before they had a record, and are not in it: {', '.join(raw['left_out'])}"
        ]
    return raw, []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _governor() -> str | None:
    """What decides the first CPU's clock frequency; None where the system does not tell, as in virtual machines."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def load_average() -> list[float] | None:
    """Running and waiting tasks, over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
