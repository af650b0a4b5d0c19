"""Entry point of the `metachat` command; subcommands are imported when used, so that `--help` is quick."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "run": ("services.cli.run", "start a whole installation on this machine"),
    "tenants": ("services.cli.tenants", "list, create and configure tenants, make tokens"),
    "channels": ("services.cli.channels", "connect WhatsApp numbers and Messenger pages"),
    "deliveries": ("services.cli.deliveries", "messages to customers: what became of them"),
    "documents": ("services.cli.documents", "what the built-in responder answers from"),
    "chat": ("services.cli.chat", "talk to a tenant's assistant"),
    "preview": ("services.cli.preview", "what would be done with a question, under settings not saved"),
    "handoffs": ("services.cli.handoffs", "conversations that wait for a person"),
    "webhooks": ("services.cli.webhooks", "send events to addresses of your own, signed"),
    "reviews": ("services.cli.reviews", "judge replies that were sent"),
    "reliability": ("services.cli.reliability", "how true a tenant's scores are"),
    "simulate": ("services.cli.simulate", "what another policy would have done with the same turns"),
    "recommend": ("services.cli.recommend", "the laxest thresholds that keep a promised error"),
    "policy": ("services.cli.policy_test", "test a policy before it is saved"),
    "replay": ("services.cli.replay", "make a stored decision once more"),
    "events": ("services.cli.events", "what happened, the newest first"),
    "queues": ("services.cli.queues", "how full the channels' queues are; move them"),
    "dead-letters": ("services.cli.dead_letters", "messages nobody could handle: look, replay, discard"),
    "users": ("services.cli.users", "the people who sign in to the console"),
    "customers": ("services.cli.customers", "export or erase what is stored of one customer"),
    "audit": ("services.cli.audit", "who changed what, the newest first"),
    "secrets": ("services.cli.secrets", "change the key that secrets are sealed with"),
    "score": ("services.cli.score", "score replies: one, or a whole chat log"),
    "doctor": ("services.cli.doctor", "check everything an installation stands on"),
    "probe": ("services.cli.probe", "whether a process is ready, for health checks"),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="metachat-mesh")
def main() -> None:
    """Meta Chat Mesh: judge every reply of an AI before a customer sees it.

    Commands talk to a running installation: METACHAT_ADDRESS (default localhost:50052) with METACHAT_TOKEN
    (default: the operator's token in .data/operator-token).
    """


if __name__ == "__main__":
    main()
