"""Names that stand for code: a table of name -> "module:attribute", loaded only when asked for.

Packages of other people add names through the entry-point group `edgeft.<kind>`; a name that is already
taken is an error, so an installed package can extend edgeft and never silently replace a part of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from edgeft.errors import EdgeftError, UsageError, did_you_mean


class Registry:
    """What may be asked for under one kind of name (task, scheme, meter, report format, data reader)."""

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self._own = dict(table)

    def _table(self) -> dict[str, str]:
        table = dict(self._own)
        for entry in entry_points(group=f"edgeft.{self.kind.replace(' ', '_')}"):
            if table.get(entry.name, entry.value) != entry.value:
                raise EdgeftError(
                    f"two packages name a {self.kind} {entry.name!r}: {table[entry.name]} and {entry.value}",
                    "uninstall one of them",
                )
            table[entry.name] = entry.value
        return table

    def names(self) -> list[str]:
        return sorted(self._table())

    def load(self, name: str) -> Any:
        """The object called `name`. Raises UsageError with a suggestion when there is none."""
        table = self._table()
        if name not in table:
            raise UsageError(f"no {self.kind} is called {name!r}", did_you_mean(name, table))
        module, _, attribute = table[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
