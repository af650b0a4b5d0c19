"""Starts a whole installation with `metachat run` on free ports and speaks to it as its users do."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
APP_SECRET = "app-secret-of-the-tests"
VERIFY_TOKEN = "verify-token-of-the-tests"
PORTS = (
    "GATEWAY_HTTP_PORT",
    "GATEWAY_GRPC_PORT",
    "CONFIDENCE_PORT",
    "ESCALATION_PORT",
    "WORKER_HEALTH_PORT",
    "CONSOLE_PORT",
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    return [free_port() for _ in range(count)]


def whatsapp_text(
    text: str, message_id: str, *, sender: str = "16315551212", number: str = "123456789"
) -> dict[str, Any]:
    """A webhook with one text message, in the form of the Cloud API."""
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "WABA",
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {"display_phone_number": "15551234567", "phone_number_id": number},
                            "contacts": [{"wa_id": sender, "profile": {"name": "Jane Smith"}}],
                            "messages": [
                                {
                                    "from": sender,
                                    "id": message_id,
                                    "timestamp": str(int(time.time())),
                                    "type": "text",
                                    "text": {"body": text},
                                }
                            ],
                        },
                    }
                ],
            }
        ],
    }


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Poll until the condition gives something; AssertionError naming `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


@dataclass
class Installation:
    """One running installation."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)

    @classmethod
    def prepare(cls, folder: Path, **extra: str) -> Installation:
        """An installation with its data in `folder`, not started yet."""
        keep = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        environment = {
            **keep,
            **{name: str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)},
            "METACHAT_DATA_FOLDER": str(folder),
            "META_APP_SECRET": APP_SECRET,
            "META_VERIFY_TOKEN": VERIFY_TOKEN,
            **extra,
        }
        return cls(folder, environment)

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        return f"http://127.0.0.1:{self.environment['GATEWAY_HTTP_PORT']}"

    @property
    def token(self) -> str:
        """The demo tenant's token."""
        return (self.folder / "demo-token").read_text().strip()

    @property
    def operator_token(self) -> str:
        """The operator's token."""
        return (self.folder / "operator-token").read_text().strip()

    def start(self) -> Installation:
        """Start it and return when its banner is printed."""
        log = self.folder.parent / f"{self.folder.name}.log"
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "run", *self.options],
                cwd=ROOT,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        seen = log.stat().st_size if log.exists() else 0
        wait_until(lambda: self._banner(log), f"the banner; log:\n{log.read_text()[-3000:]}", READY_SECONDS)
        self.output = log.read_text()[-4000:].splitlines()
        assert seen >= 0
        return self

    def _banner(self, log: Path) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended early:\n{log.read_text()[-4000:]}"
        return log.read_text().count("Meta Chat Mesh is ready") >= self.starts

    starts: int = 1
    # Of the command that runs it: ("--no-demo",).
    options: tuple[str, ...] = ()

    def stop(self) -> int:
        """Press Ctrl-C and wait; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def restart(self) -> None:
        """Stop and start again on the same data."""
        self.stop()
        self.starts += 1
        self.start()

    def child(self, module: str) -> psutil.Process:
        """The process that runs `module`."""
        assert self.process is not None

        def find() -> psutil.Process | None:
            assert self.process is not None
            for process in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.Error):
                    if module in process.cmdline():
                        return process
            return None

        found: psutil.Process = wait_until(find, f"a process of {module}")
        return found

    @contextlib.contextmanager
    def frozen(self, module: str) -> Iterator[None]:
        """The process of `module` stands still meanwhile."""
        process = self.child(module)
        family = [process, *process.children(recursive=True)]
        for each in family:
            each.suspend()
        try:
            yield
        finally:
            for each in family:
                each.resume()

    def command(self, *arguments: str, expect: int = 0, stdin: str | None = None) -> str:
        """Run the metachat command against it; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            env={**self.environment, "COLUMNS": "240"},
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def chat(self, message: str, **fields: str) -> dict[str, Any]:
        """POST /api/chat as the demo tenant; the answer, which must be a 200."""
        answer = self.post("/api/chat", {"tenantId": "metrica", "message": message, **fields})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def post(self, path: str, body: Any, token: str | None = None) -> httpx.Response:
        """POST JSON with a bearer token (default: the demo tenant's)."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.post(self.url + path, json=body, headers=headers, timeout=60)

    def get(self, path: str, token: str | None = None, **parameters: str) -> httpx.Response:
        """GET with a bearer token (default: the demo tenant's)."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.get(self.url + path, params=parameters, headers=headers, timeout=30)

    def webhook(self, payload: dict[str, Any], secret: str = APP_SECRET) -> httpx.Response:
        """Deliver a WhatsApp webhook as Meta does: signed over the raw bytes."""
        body = json.dumps(payload).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        return httpx.post(f"{self.url}/webhooks/whatsapp", content=body, headers=headers, timeout=30)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query of the SQLite database gives."""
        with contextlib.closing(sqlite3.connect(self.folder / "metachat.db", timeout=10)) as connection:
            return connection.execute(statement, parameters).fetchall()
