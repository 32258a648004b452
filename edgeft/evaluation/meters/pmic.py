"""Raspberry Pi 5: the rails behind its power chip, from `vcgencmd pmic_read_adc`.

Twelve rails on the board. Not covered: conversion losses, what hangs on USB and HATs, the fan. Factors from these rails
to the wall are in circulation; they are models, and none is applied here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

COMMAND = ("vcgencmd", "pmic_read_adc")
_LINE = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=([0-9.]+)[AV]\s*$", re.MULTILINE)
_BOARDS = re.compile(r"Raspberry Pi (5|500|Compute Module 5)")


def rails_w(text: str) -> dict[str, float]:
    """Watts by rail. Channels are paired by name: their numbers differ between firmwares, and the 5 V input and the
    clock's battery have a voltage only."""
    values: dict[str, dict[str, float]] = {}
    for name, unit, value in _LINE.findall(text):
        values.setdefault(name, {})[unit] = float(value)
    return {name: pair["A"] * pair["V"] for name, pair in values.items() if len(pair) == 2}


@dataclass
class Pi5Pmic:
    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "pi5-pmic"
    coverage: str = "on-board rails"
    source: str = " ".join(COMMAND)
    resolution: str = "uncalibrated; without the 5 V of USB, conversion losses and the fan"
    hz: float = 5.0  # a process is started for each sample, and ten a second slow the board
    min_window_s: float = 20.0
    trim_s: float = 0.2

    def available(self) -> str | None:
        from edgeft.machine import board_model

        board = board_model(self.world.root) or ""
        if not _BOARDS.search(board):
            older = "this Raspberry Pi has no current sensor" if "Raspberry Pi" in board else "not a Raspberry Pi 5"
            return Unavailable(older, "use a USB-C meter or plug (--meter FILE.csv, shelly:HOST)" if board else "")
        try:
            self.watts()
        except ReadError as error:
            fix = "sudo apt install raspi-utils; sudo usermod -aG video $USER, then log in again"
            return Unavailable(f"the power chip does not answer ({error})", fix, present=True)
        return None

    def watts(self) -> float:
        rails = rails_w(self.world.run(COMMAND))
        if not rails:
            raise ReadError("vcgencmd pmic_read_adc names no rail with volts and amperes")
        return sum(rails.values())
