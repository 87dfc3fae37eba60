"""Checksums against published ones, and files of the hub's cache against their names."""

import hashlib

import pytest

from dsee_bench.system.checksum import git_sha1, sha256, stated_checksum, verify

BLOBS = [
    # content, git's name of it, where that is from
    (b"what is up, doc?", "bd9dbf5aae1a3862dd1526723246b20206e5fc37", "Pro Git, 10.2 Git Objects"),
    (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "git hash-object -t blob /dev/null"),
]
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # NIST's example of SHA-256, "abc"


@pytest.mark.parametrize(("content", "name", "source"), BLOBS)
def test_git_sha1(content, name, source, tmp_path):
    (tmp_path / "a").write_bytes(content)
    assert git_sha1(tmp_path / "a") == name, source


def test_sha256_of_a_file_that_changes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == ABC
    (tmp_path / "a").write_bytes(b"abcd")
    assert sha256(tmp_path / "a") != ABC


CACHED = [
    # content, name of the blob, the checksum it states, whether it is right
    (b"abc", ABC, ABC, True),
    (b"abd", ABC, ABC, False),
    (b"what is up, doc?", BLOBS[0][1], BLOBS[0][1], True),
    (b"what is up, doc!", BLOBS[0][1], BLOBS[0][1], False),
    (b"abc", hashlib.md5(b"xyz").hexdigest(), None, True),  # a mirror's own tag says nothing
]


@pytest.mark.parametrize(("content", "name", "stated", "right"), CACHED)
def test_files_of_the_cache(content, name, stated, right, tmp_path):
    """A file of a snapshot is a link to a blob of that name."""
    blob = tmp_path / "blobs" / name
    blob.parent.mkdir()
    blob.write_bytes(content)
    (tmp_path / "file").symlink_to(f"blobs/{name}")
    assert stated_checksum(tmp_path / "file") == stated
    if right:
        verify(tmp_path / "file")
    else:
        with pytest.raises(ValueError, match=f"should be {name}.*delete {blob} and"):
            verify(tmp_path / "file")


def test_a_copy_in_place_of_a_link_states_nothing(tmp_path):
    (tmp_path / ABC).write_bytes(b"xyz")
    assert stated_checksum(tmp_path / ABC) is None
    verify(tmp_path / ABC)
