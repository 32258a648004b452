"""An evaluation where only the device's packages can be imported and no connection can be made, as on a board in a
drawer: python -m tests.evaluation.alone BUNDLE OUTPUT
"""

from __future__ import annotations

import operator
import os
import socket
import sys
from typing import Any

from tests.evaluation.shortened import shorten

WORKSTATION_ONLY = ("torch", "torchvision", "transformers", "timm", "onnx", "onnxscript", "onnx_ir", "accelerate",
                    "safetensors", "datasets", "huggingface_hub", "matplotlib", "jinja2")  # fmt: skip


class NoNetwork(socket.socket):
    """Ends the process, so that no handler can take it for a server that is down."""

    def connect(self, address: Any) -> None:
        self._refuse(address)

    def connect_ex(self, address: Any) -> int:
        self._refuse(address)
        return 1

    @staticmethod
    def _refuse(address: Any) -> None:
        sys.stderr.write(f"a connection to {address} was tried\n")
        sys.stderr.flush()
        os._exit(70)


def look_up(host: Any, *more: Any, **others: Any) -> Any:
    NoNetwork._refuse(host)


if __name__ == "__main__":
    for name in WORKSTATION_ONLY:
        sys.modules[name] = None  # type: ignore[assignment]
    socket.socket = NoNetwork  # type: ignore[misc]
    socket.getaddrinfo = look_up
    shorten(operator.setitem, setattr)

    from edgeft.cli import main

    main(["eval", sys.argv[1], "--output", sys.argv[2], "--preset", "quick", "--threads", "1"])
