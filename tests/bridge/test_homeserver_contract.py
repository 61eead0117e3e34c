"""The fake homeserver keeps the promises of the real one."""

from __future__ import annotations

import pytest

from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from tests.bridge.fake_homeserver import FakeHomeserver
from tests.homeserver_contract import HomeserverContract
from tests.matrix.conftest import intake, service

__all__ = ["intake", "service"]


class TestFakeHomeserver(HomeserverContract):
    @pytest.fixture
    def homeserver(self) -> Homeserver:
        return FakeHomeserver(SystemClock())


@pytest.mark.synapse
class TestSynapse(HomeserverContract):
    @pytest.fixture
    def homeserver(self, service: MatrixService) -> Homeserver:
        return service.homeserver
