"""Our reader against the reference writer."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
from scoring.safetensors_file import content_hash, read_safetensors


def test_reads_what_the_reference_writes(tmp_path):
    """Shapes, types, values and metadata come back."""
    path = tmp_path / "x.safetensors"
    tensors = {"a": np.arange(6, dtype=np.int8).reshape(2, 3), "b": np.array([0.5, -2], np.float16)}
    safetensors.numpy.save_file(tensors, path, metadata={"seed": "7"})
    read, metadata = read_safetensors(path)
    assert metadata == {"seed": "7"}
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


@pytest.mark.parametrize("keep", [0, 5, 20, 60])
def test_a_cut_file_is_named(tmp_path, keep):
    """A truncated file is one ValueError with its name."""
    path = tmp_path / "cut.safetensors"
    safetensors.numpy.save_file({"a": np.zeros((10, 10), np.float32)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut\.safetensors"):
        read_safetensors(path)


def test_the_hash_changes_with_any_byte(tmp_path):
    """Two files that differ in one byte have different identities."""
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"weightz")
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "b")
