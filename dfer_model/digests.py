"""Files with a digest of their own content, so that damage is detected when they are read.

Tensors are safetensors files with a sha256 in their metadata; tables are Parquet files with page checksums
and a sha256 in the metadata of their schema. Files of earlier versions have neither and are read unchecked.
Imports no torch.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import InputError
from .io import replacing

if TYPE_CHECKING:
    import pyarrow as pa

KEY = "sha256"
_METADATA = "__metadata__"  # the entry of a safetensors header that is not a tensor
_ALIGNMENT = 8  # bytes; safetensors pads its header to a multiple
_LARGEST_HEADER = 100_000_000  # bytes; safetensors rejects larger ones


def file_sha256(path: Path) -> str:
    """The sha256 of the file's bytes. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """The sha256 of a JSON or YAML value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(_text_keys(value), sort_keys=True, default=str).encode()).hexdigest()


def _text_keys(value: Any) -> Any:
    """The value with all keys as strings: YAML has keys of other types, which cannot be sorted together."""
    if isinstance(value, dict):
        return {str(key): _text_keys(each) for key, each in value.items()}
    return [_text_keys(each) for each in value] if isinstance(value, list | tuple) else value


def write_tensors(path: Path, serialized: bytes) -> None:
    """Write the bytes of a safetensors file (`safetensors.torch.save`) to `path`, with their digest.

    Raises OSError as `replacing`.
    """
    length = int.from_bytes(serialized[:_ALIGNMENT], "little")
    header: dict[str, Any] = json.loads(serialized[_ALIGNMENT : _ALIGNMENT + length])
    values = memoryview(serialized)[_ALIGNMENT + length :]
    digest = _started(header)
    digest.update(values)
    header[_METADATA] = header.get(_METADATA, {}) | {KEY: digest.hexdigest()}
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(len(encoded).to_bytes(_ALIGNMENT, "little"))
        stream.write(encoded)
        stream.write(values)


def check_tensors(path: Path) -> None:
    """Raise InputError if the file differs from what `write_tensors` wrote, OSError if unreadable.

    A file without a digest is accepted: an earlier version or another program wrote it.
    """
    with path.open("rb") as stream:
        try:
            stored, found = _stored_and_computed(stream)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is damaged: it has no safetensors header") from error
    if stored not in (None, found):
        raise InputError(f"{path} is damaged: its content does not match its sha256")


def tensors_are_whole(path: Path) -> bool:
    """Whether `path` is an undamaged safetensors file."""
    try:
        check_tensors(path)
    except (InputError, FileNotFoundError):
        return False
    return True


def _stored_and_computed(stream: io.BufferedReader) -> tuple[str | None, str]:
    length = int.from_bytes(stream.read(_ALIGNMENT), "little")
    if length > _LARGEST_HEADER:
        raise ValueError("the header is too large")
    header = json.loads(stream.read(length))
    digest = header.get(_METADATA, {}).get(KEY)
    started = _started(header)
    return digest, hashlib.file_digest(stream, lambda: started).hexdigest()


def _started(header: Mapping[str, Any]) -> hashlib._Hash:
    """The hash of a header without its digest, to be updated with the values."""
    metadata = {key: value for key, value in header.get(_METADATA, {}).items() if key != KEY}
    return hashlib.sha256(json.dumps({**header, _METADATA: metadata}, sort_keys=True).encode())


def write_table(path: Path, table: pa.Table) -> None:
    """Write the table to `path` as Parquet, with page checksums and a digest. Raises OSError."""
    import pyarrow.parquet as pq

    metadata = {**(table.schema.metadata or {}), KEY: _table_sha256(table)}
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, write_page_checksum=True)


def read_table(source: Path | BinaryIO) -> pa.Table:
    """The table of a Parquet file.

    Raises ValueError, OSError or ArrowException if the file is damaged or not a Parquet file.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        table = file.read()
    metadata = dict(table.schema.metadata or {})
    digest = metadata.pop(KEY.encode(), None)
    table = table.replace_schema_metadata(metadata or None)
    if digest is not None and digest.decode("ascii", "replace") != _table_sha256(table):
        raise ValueError("its content does not match its sha256")
    return table


def _table_sha256(table: pa.Table) -> str:
    """The sha256 of values and metadata, not of Arrow's buffers, which differ between equal tables."""
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    columns = {name: table[name].to_pylist() for name in table.column_names}
    content = json.dumps([metadata, columns])
    return hashlib.sha256(content.encode()).hexdigest()
