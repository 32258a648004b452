"""Telling a folder written by `datasets` from one of images or tables, without importing datasets."""

from pathlib import Path


def is_saved_dataset(folder: Path) -> bool:
    """Whether `DatasetDict.save_to_disk` wrote this folder."""
    return (folder / "dataset_dict.json").is_file()
