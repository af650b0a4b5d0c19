"""The servers that a run brings are there, and their fixtures give what they promise."""

import asyncpg
import pytest
from aio_pika import connect

from tests.servers.__main__ import KINDS, summarise

pytestmark = pytest.mark.timeout(30)


@pytest.mark.rabbitmq
async def test_rabbitmq_answers(rabbitmq_url: str) -> None:
    connection = await connect(rabbitmq_url)
    try:
        assert connection.is_closed is False
    finally:
        await connection.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("time", [1, 2])
async def test_each_test_has_a_fresh_database(postgres_url: str, time: int) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("CREATE TABLE mine (n int)")
        assert await connection.fetchval("SELECT count(*) FROM mine") == 0
    finally:
        await connection.close()


def test_what_was_not_tested_is_named_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert summarise(0, {KINDS[0]: "not installed"}, in_ci=False) == 0
    line = capsys.readouterr().out
    assert "RabbitMQ: not installed" in line
    assert "apt-get install rabbitmq-server, or set RABBITMQ_URL" in line


@pytest.mark.parametrize(("code", "missing", "expected"), [(0, 1, 1), (0, 0, 0), (3, 1, 3)])
def test_in_ci_a_skip_is_a_failure(code: int, missing: int, expected: int) -> None:
    assert summarise(code, dict.fromkeys(KINDS[:missing], "not installed"), in_ci=True) == expected
