"""The console starts without libraries that it never uses."""

from __future__ import annotations

import subprocess
import sys

UNWANTED = ("aio_pika", "aiohttp", "requests", "tests")


def test_the_process_loads_no_client_of_sockets_or_brokers() -> None:
    script = f"import sys, services.console.__main__\nprint(*(n for n in {UNWANTED!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
