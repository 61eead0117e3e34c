"""Small worlds with all faults, each in a process of its own, as `make sim` runs them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from chattor_bridge.ids import NodeId
from chattor_bridge.node.carrying.records import Target
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.storage.deposits import SqlDeposits
from chattor_bridge.storage.transaction import sql
from tests.sim.plan import Options
from tests.sim.world import simulate

SMALL = ("--nodes", "8", "--days", "1", "--messages", "120")

WAIT = 300.0
"""Seconds for a world that takes ten on an idle machine."""


async def simulated(*arguments: str) -> tuple[int, str]:
    """How a world ended, and what was said of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sim", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(WAIT):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("seed", ["1", "2"])
async def test_nothing_is_lost_or_doubled_or_out_of_order(seed: str) -> None:
    code, said = await simulated(*SMALL, "--seed", seed, "--rough")
    assert code == 0, said
    assert "messages said: 120" in said
    assert "messages lost: 0" in said


async def test_a_seed_is_a_world_and_another_seed_another() -> None:
    digests = set()
    for seed in ("3", "3", "4"):
        code, said = await simulated("--nodes", "4", "--days", "0.3", "--messages", "20", "--seed", seed)
        assert code == 0, said
        found = re.search(r"digest of everything that happened: (\w+)", said)
        assert found is not None
        digests.add(found[1])
    assert len(digests) == 2


def test_a_node_that_takes_carriers_at_their_word_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a carrier says that it holds is no more in the outbox: with carriers that keep nothing, it is lost."""
    left = SqlDeposits.left

    async def believe(
        deposits: SqlDeposits, tx: Transaction, node_id: NodeId, target: Target, entries: Sequence[OutboxEntry], at: int
    ) -> list[int]:
        places = await left(deposits, tx, node_id, target, entries, at)
        for entry in entries:
            await sql(tx).execute("DELETE FROM outbox WHERE peer_id = $1 AND seq = $2", entry.peer_id, entry.seq)
        return places

    monkeypatch.setattr(SqlDeposits, "left", believe)
    options = replace(Options(nodes=6, days=0.5, messages=60).roughly(), vicious=1.0)
    assert any("never arrived" in problem for problem in simulate(options).problems)
