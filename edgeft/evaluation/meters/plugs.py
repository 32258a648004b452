"""Plugs that measure at the wall and answer over the local network. Asked only when the user names the host.

The figure includes the losses of the power supply, and is poor below 5 W.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")


@dataclass
class _Plug:
    """`argument` is the host name or address."""

    world: World = field(default_factory=World)
    argument: str = ""
    name: str = ""
    coverage: str = "wall"
    resolution: str = ""
    hz: float = 1.0
    min_window_s: float = 100.0  # 100 samples
    trim_s: float = 2.0  # they average over about a second
    path: str = ""

    @property
    def source(self) -> str:
        return f"http://{self.argument}{self.path}"

    def available(self) -> str | None:
        if not self.argument:
            return Unavailable("it must be named", f"--meter {self.name}:HOST")
        if not _HOST.fullmatch(self.argument):
            return Unavailable(f"{self.argument!r} is no host name or address", f"--meter {self.name}:192.168.1.20")
        try:
            self.watts()
        except ReadError as error:
            return Unavailable(f"the plug does not answer ({error})", "check its address", present=True)
        return None

    def watts(self) -> float:
        text = self.world.get(self.source)
        try:
            return float(self.power(json.loads(text)))
        except (ValueError, KeyError, TypeError) as error:
            raise ReadError(f"{self.source}: no power in the answer {text[:80]!r}") from error

    def power(self, answer: Any) -> Any:
        """Watts in the plug's JSON."""
        raise NotImplementedError


@dataclass
class Shelly(_Plug):
    """Shelly plugs of the second generation and later, without a password."""

    name: str = "shelly"
    resolution: str = "0.1 W, about 1 % under load"
    path: str = "/rpc/Switch.GetStatus?id=0"

    def power(self, answer: Any) -> Any:
        return answer["apower"]


@dataclass
class Tasmota(_Plug):
    name: str = "tasmota"
    resolution: str = "1 W unless the plug's WattRes is raised, about 1 % under load"
    path: str = "/cm?cmnd=Status%208"

    def power(self, answer: Any) -> Any:
        return answer["StatusSNS"]["ENERGY"]["Power"]
