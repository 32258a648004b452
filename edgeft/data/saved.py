"""Telling a folder written by `datasets` from one of images or tables, without importing datasets."""

from pathlib import Path


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` of a DatasetDict, or of a single Dataset, wrote this folder."""
    single = (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    return single or (folder / "dataset_dict.json").is_file()
