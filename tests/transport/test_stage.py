"""How wide the stage of publications is, from what it is told of them."""

from __future__ import annotations

from chattor_bridge.transport.tor.stage import QUICK, SLOW, WIDTH_FIRST, WIDTH_LEAST, WIDTH_MOST, Stage


def test_it_widens_by_one_when_as_many_as_it_holds_went_well() -> None:
    stage, widths = Stage(), []
    for turn in range(WIDTH_FIRST + WIDTH_FIRST + 1):
        stage.ended(turn, turn + 1, enough=True, failed=0)
        widths.append(stage.width)
    assert widths == [3, 3, 4, 4, 4, 4, 5]


def test_it_is_never_wider_than_it_may_be() -> None:
    stage = Stage()
    for turn in range(100):
        stage.ended(turn, turn + 1, enough=True, failed=0)
    assert stage.width == WIDTH_MOST


def test_what_takes_its_time_changes_nothing() -> None:
    stage = Stage()
    for turn in range(20):
        stage.ended(turn, turn + (QUICK + SLOW) / 2, enough=True, failed=0)
    assert stage.width == WIDTH_FIRST


def test_it_halves_when_directories_do_not_take_a_descriptor_or_take_long() -> None:
    for enough, failed, took in ((False, 0, 60.0), (True, 2, 1.0), (True, 0, SLOW + 1)):
        stage = Stage()
        stage.ended(0.0, took, enough=enough, failed=failed)
        assert stage.width == WIDTH_FIRST // 2


def test_one_crowd_halves_it_once_and_the_next_again() -> None:
    stage = Stage()
    for turn in range(30):
        stage.ended(turn, turn + 1, enough=True, failed=0)
    wide = stage.width
    for _ in range(wide):
        stage.ended(30.0, 95.0, enough=False, failed=0)
    assert stage.width == wide // 2
    stage.ended(96.0, 160.0, enough=False, failed=0)
    assert stage.width == wide // 4
    for turn in range(200, 210, 2):
        stage.ended(turn, turn + 1, enough=False, failed=0)
    assert stage.width == WIDTH_LEAST
