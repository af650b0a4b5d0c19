"""`metachat secrets`: what is sealed with METACHAT_SECRET_KEY."""

from __future__ import annotations

import subprocess
import sys

import click


@click.group(name="secrets")
def command() -> None:
    """Stored secrets: channels' tokens, model keys, webhooks' signing secrets."""


@command.command()
def reseal() -> None:
    """Seal every stored secret anew with the first key of METACHAT_SECRET_KEY.

    To change the key: put the new one behind the old one (OLD,NEW) and restart everything; put it in front
    (NEW,OLD) and restart everything; run this; take the old one away. Run it on the machine and with the
    environment of the installation.
    """
    module = "services.escalation.secrets.resealing"
    done = subprocess.run([sys.executable, "-m", module], check=False)  # noqa: S603 - our own module
    sys.exit(done.returncode)
