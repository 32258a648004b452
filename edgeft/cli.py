"""The command line (being written)."""

import click

from edgeft import __version__


@click.group()
@click.version_option(__version__, package_name="edgeft")
def main() -> None:
    """Fine-tune for a device, export to ONNX, measure there."""
