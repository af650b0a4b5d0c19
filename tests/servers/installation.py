"""Installs missing servers from Debian's archive, where we may."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")


def possible() -> bool:
    return os.getuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install(packages: Sequence[str]) -> str:
    """Returns "" or, in one line, why it did not work."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Retries=2"]
    with _no_services():
        for step in ([*quiet, "update"], [*quiet, "install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
                return f"{' '.join(step)} failed: {lines[-1] if lines else done.returncode}"
    return ""


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian's packages start their service when installed, unless this file says no."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
