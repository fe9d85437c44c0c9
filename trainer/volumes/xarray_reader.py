# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from Zarr folders and GRIB files, which xarray opens; loaded when such a file is opened and not before."""

from __future__ import annotations

import importlib
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LibraryMissing
from .cf import CFVariable
from .cf_reader import CFReader
from .damage import damage_reported
from .reader import VariableInfo


class XarrayReader(CFReader):
    """An open file as groups of variables; values are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            LibraryMissing, VolumeFileDamaged: see there.
        """
        super().__init__(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the libraries mean to change
            self._groups = self._open()

    @abstractmethod
    def _open(self) -> Mapping[str, Any]:
        """xarray's datasets by the prefix of their variables' names; nothing decoded."""

    def close(self) -> None:
        for dataset in self._groups.values():
            dataset.close()

    def _variables(self) -> dict[str, CFVariable]:
        return self._all

    @cached_property
    def _all(self) -> dict[str, CFVariable]:
        found: dict[str, CFVariable] = {}
        for prefix, dataset in self._groups.items():
            for name, variable in dataset.variables.items():
                found.setdefault(f"{prefix}{name}", _adapted(f"{prefix}{name}", variable, prefix, self._groups))
        return found


class ZarrReader(XarrayReader):
    """A Zarr folder of format 2 or 3, with groups."""

    def variables(self) -> list[VariableInfo]:
        # A folder has no order.
        return sorted(super().variables(), key=lambda info: info.name)

    def _open(self) -> Mapping[str, Any]:
        xarray = _library("xarray", self._path, "Zarr", "xarray zarr")
        _library("zarr", self._path, "Zarr", "xarray zarr")
        # decode_cf=False alone does not reach the groups.
        undecoded = dict.fromkeys(("mask_and_scale", "decode_times", "decode_coords", "decode_timedelta"), False)
        with damage_reported(self._path):
            groups = xarray.open_groups(self._path, engine="zarr", chunks=None, cache=False, **undecoded)
        return {f"{name.strip('/')}/".lstrip("/"): dataset for name, dataset in groups.items()}


class GRIBReader(XarrayReader):
    """A GRIB file of edition 1 or 2: fields of one kind of level make one variable."""

    def _open(self) -> Mapping[str, Any]:
        _library("xarray", self._path, "GRIB", "xarray cfgrib eccodes")
        cfgrib = _library("cfgrib", self._path, "GRIB", "xarray cfgrib eccodes")
        self._library_errors = (importlib.import_module("eccodes").CodesInternalError,)
        options = {"indexpath": "", "errors": "raise"}  # no index file is left beside the data
        with damage_reported(self._path, *self._library_errors):
            datasets = cfgrib.open_datasets(str(self._path), backend_kwargs=options, cache=False)
        return {"" if k == 0 else f"{k}/": dataset for k, dataset in enumerate(_undecoded(d) for d in datasets)}


@dataclass(frozen=True, eq=False)
class _XarrayVariable(CFVariable):
    handle: Any
    prefix: str
    groups: Mapping[str, Any]

    def read(self, index: tuple[slice | int, ...]) -> np.ndarray:
        return np.asarray(self.handle[index].values)

    def find(self, name: str) -> CFVariable | None:
        prefix = self.prefix
        while True:
            dataset = self.groups.get(prefix)
            if dataset is not None and name in dataset.variables:
                return _adapted(f"{prefix}{name}", dataset.variables[name], prefix, self.groups)
            if not prefix:
                return None
            prefix = prefix.rstrip("/").rpartition("/")[0]
            prefix += "/" if prefix else ""


def _adapted(name: str, variable: Any, prefix: str, groups: Mapping[str, Any]) -> _XarrayVariable:
    chunks = variable.encoding.get("chunks")
    attributes = dict(variable.attrs)
    # Where coordinates were told apart already.
    attributes.setdefault("coordinates", variable.encoding.get("coordinates", ""))
    return _XarrayVariable(
        name,
        tuple(str(d) for d in variable.dims),
        tuple(int(n) for n in variable.shape),
        variable.dtype if variable.dtype.kind in "iuf" else None,
        attributes,
        None if chunks is None else tuple(int(n) for n in chunks),
        (False,) * len(variable.dims),
        variable,
        prefix,
        groups,
    )


def _undecoded(dataset: Any) -> Any:
    """A dataset of GRIB fields with times as the numbers they were decoded from, and fields as what is decoded at
    once."""
    for variable in dataset.data_vars.values():
        variable.encoding["chunks"] = (1,) * (variable.ndim - 2) + variable.shape[-2:]
    conventions = importlib.import_module("xarray.conventions")
    times = {n: v for n, v in dataset.variables.items() if v.dtype.kind in "mM"}
    return dataset.assign_coords({n: conventions.encode_cf_variable(v, name=n) for n, v in times.items()})


def _library(name: str, path: Path, form: str, packages: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: the C library is not found
        raise LibraryMissing(path, f"the libraries for {form}", packages) from error
