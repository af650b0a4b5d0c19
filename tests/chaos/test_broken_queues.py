"""What a broker's log says of queues that it cannot bring back."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.broken_queues import BrokenQueues

_LINE = "10:00 [warning] <0.4.0> recover: quorum queue '{}' could not be restarted {{error,{{shutdown,x}}}}\n"


def test_names_are_found_as_the_log_grows_also_where_a_look_ended_within_a_line(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    broken = BrokenQueues(log)
    assert broken.look() == []
    line = _LINE.format("%2F_tenant.a.channel.whatsapp.inbound.queue")
    log.write_text("starting\n" + line[:60])
    assert broken.look() == []
    log.write_text("starting\n" + line + _LINE.format("%2F_tenant.b.channel.messenger.outbound.queue"))
    expected = [
        "%2F_tenant.a.channel.whatsapp.inbound.queue",
        "%2F_tenant.b.channel.messenger.outbound.queue",
    ]
    assert broken.look() == expected
    assert broken.look() == expected
