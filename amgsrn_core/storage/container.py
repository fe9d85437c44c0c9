# SPDX-License-Identifier: BSD-3-Clause
"""Safetensors files: 8 bytes with the length of a JSON header, the header, then the tensors' bytes without gaps.

Read here, and not by the safetensors package, because an ensemble's tensors are read one by one long after it was opened:
reads from a descriptor tell of a file that has been cut short since, where a memory map would end the process. Written here because
a file may be larger than memory.
"""

from __future__ import annotations

import json
import math
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch

from ..errors import ModelFileDamaged, ModelFileMissing, NotAModelFile

_LENGTH_BYTES = 8
_MAX_HEADER = 10**8
_METADATA = "__metadata__"
_COPY_BYTES = 1 << 22
_DTYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "I32": torch.int32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class StoredTensor(Protocol):
    """A tensor that can be copied into a file without being decoded."""

    @property
    def dtype(self) -> str:
        """The name of its type in safetensors."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Its bytes, little-endian, in pieces."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor is in a file.

    Attributes:
        dtype: the name of its type.
        shape: its shape.
        start: position of its first byte in the file.
        bytes: how many there are.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    bytes: int


class _OpenFile:
    """A file's bytes by their position. It stays the same file when another takes its name.

    Attributes:
        version: tells whether a file that is opened again under its name is the same, unchanged.
        size: in bytes.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            if not self._path.exists():
                raise ModelFileMissing(path)
            if not self._path.is_file():
                raise ModelFileMissing(path, "not a file")
            self._descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise ModelFileMissing(path, error.strerror or str(error)) from error
        self.close = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        self.version = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        self.size = status.st_size

    def fill(self, target: memoryview, start: int) -> None:
        """Read as many bytes as there is room for.

        Raises:
            ModelFileDamaged: the file has become shorter, or cannot be read.
        """
        done = 0
        while done < len(target):
            try:
                piece = os.preadv(self._descriptor, [target[done:]], start + done)
            except OSError as error:
                raise ModelFileDamaged(self._path, error.strerror or str(error)) from error
            if not piece:
                raise ModelFileDamaged(self._path, f"truncated: it ends at byte {start + done}, while it is read")
            done += piece

    def pieces(self, start: int, count: int) -> Iterator[bytes]:
        """So many bytes in pieces; for errors see `fill`."""
        for position in range(start, start + count, _COPY_BYTES):
            piece = bytearray(min(_COPY_BYTES, start + count - position))
            self.fill(memoryview(piece), position)
            yield bytes(piece)


class TensorFile:
    """An open safetensors file: its index, and its tensors on demand. It stays the same file when another takes its name.

    Attributes:
        path: its name.
        metadata: texts by key.
        entries: where each tensor is.

    Raises:
        ModelFileMissing, NotAModelFile, ModelFileDamaged: when it is opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _OpenFile(path)
        try:
            header, data = self._header()
            self.metadata = _metadata(header.pop(_METADATA, {}))
            self.entries = {name: _entry(name, entry, data) for name, entry in header.items()}
            _check_layout(self.entries, data, self._file.size)
        except ValueError as error:
            self.close()
            raise ModelFileDamaged(path, str(error)) from error
        except BaseException:
            self.close()
            raise

    def read(self, name: str) -> torch.Tensor:
        """A tensor, as it is stored.

        Raises:
            ModelFileDamaged: the file has become shorter, or cannot be read.
        """
        entry = self.entries[name]
        content = np.empty(entry.bytes, dtype=np.uint8)
        self._file.fill(content.data, entry.start)
        return torch.from_numpy(content).view(_DTYPES[entry.dtype]).reshape(entry.shape)

    def stored(self, name: str) -> FileTensor:
        """A tensor to be copied later, when this file may be closed."""
        return FileTensor(self.path, name, self.entries[name], self._file.version)

    def close(self) -> None:
        """Close the file; without it, that happens when nobody needs it any more."""
        self._file.close()

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _header(self) -> tuple[dict[str, Any], int]:
        """The header, and the position of the first tensor's first byte."""
        size = self._file.size
        if not size:
            raise ModelFileDamaged(self.path, "the file is empty")
        start = bytearray(min(size, _LENGTH_BYTES + 1))
        self._file.fill(memoryview(start), 0)
        length = int.from_bytes(start[:_LENGTH_BYTES], "little")
        if start[_LENGTH_BYTES:] != b"{" or length > _MAX_HEADER:
            raise NotAModelFile(self.path, "no safetensors header")
        data = _LENGTH_BYTES + length
        if data > size:
            raise ModelFileDamaged(self.path, f"truncated: {size} bytes, its header alone needs {data}")
        text = bytearray(length)
        self._file.fill(memoryview(text), _LENGTH_BYTES)
        try:
            header = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotAModelFile(self.path, "no safetensors header") from error
        return header, data


class MemoryTensor:
    """A tensor in memory, as a `StoredTensor`."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor.detach()
        self.dtype, self.shape = _NAMES[tensor.dtype], tuple(tensor.shape)

    def chunks(self) -> Iterator[bytes | memoryview]:
        content = self._tensor.cpu().contiguous().reshape(-1)
        yield content.view(torch.uint8).numpy().data


class FileTensor:
    """A tensor in a file that is opened when its bytes are asked for, as a `StoredTensor`.

    The file's header is not read again, which with thousands of tensors in it would take longer than copying them.
    """

    def __init__(self, path: Path, name: str, entry: TensorEntry, version: tuple[int, ...]) -> None:
        self._path, self._name, self._entry, self._version = path, name, entry, version
        self.dtype, self.shape = entry.dtype, entry.shape

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Its bytes.

        Raises:
            ModelFileError: the file has changed, or is gone.
        """
        file = _OpenFile(self._path)
        try:
            if file.version != self._version:
                raise ModelFileDamaged(self._path, f"it has changed before tensor '{self._name}' was copied")
            yield from file.pieces(self._entry.start, self._entry.bytes)
        finally:
            file.close()


def write_container(path: Path, metadata: Mapping[str, str], tensors: Sequence[tuple[str, StoredTensor]]) -> None:
    """Write a safetensors file, a piece of a tensor at a time.

    Tensors of large types come first, as the format's readers want each aligned to its type.

    Raises:
        OSError: no space, say.
        ValueError: two tensors of one name, or more of them than a header has room for.
    """
    ordered = sorted(tensors, key=lambda item: -_DTYPES[item[1].dtype].itemsize)
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    end = 0
    for name, tensor in ordered:
        if name in header:
            raise ValueError(f"two tensors are called '{name}'")
        start, end = end, end + _bytes(tensor.dtype, tensor.shape)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    if len(text) > _MAX_HEADER:
        raise ValueError(f"a header of {len(text)} bytes; at most {_MAX_HEADER} can be read")
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little"))
        file.write(text)
        for name, tensor in ordered:
            _copy(name, tensor, file)


def _copy(name: str, tensor: StoredTensor, file: BinaryIO) -> None:
    written = sum(file.write(piece) for piece in tensor.chunks())
    if written != _bytes(tensor.dtype, tensor.shape):
        raise ValueError(f"tensor '{name}' has {written} bytes, which do not fit its shape {tensor.shape}")


def _bytes(dtype: str, shape: Sequence[int]) -> int:
    return _DTYPES[dtype].itemsize * math.prod(shape)


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("unreadable metadata")
    return value


def _entry(name: str, value: Any, data: int) -> TensorEntry:
    """A tensor's place, from what the header says about it; `data` is where tensors begin."""
    try:
        dtype, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"unreadable entry of tensor '{name}'") from error
    numbers = [start, end, *shape] if isinstance(shape, list) else [None]
    if not isinstance(dtype, str) or dtype not in _DTYPES or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"unreadable entry of tensor '{name}'")
    if end - start != _bytes(dtype, shape):
        raise ValueError(f"tensor '{name}' of type {dtype} and shape {tuple(shape)} has {end - start} bytes")
    return TensorEntry(dtype, tuple(shape), data + start, end - start)


def _check_layout(entries: Mapping[str, TensorEntry], data: int, size: int) -> None:
    """Make sure that tensors follow each other without gaps or overlaps, to the end of the file."""
    position = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].bytes)):
        if entry.start != position:
            raise ValueError(f"tensor '{name}' begins at byte {entry.start}, not {position}")
        position += entry.bytes
    if size < position:
        raise ValueError(f"truncated: {size} of {position} bytes")
    if size > position:
        raise ValueError(f"{size - position} bytes too many at its end")
