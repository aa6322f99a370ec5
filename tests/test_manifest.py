"""A directory is read as it was written, or one sentence says why not; neither files nor their sizes are trusted."""

import json
import os
import re

import numpy as np
import pytest

from omicsmlm._manifest import (
    MANIFEST,
    MOST_DEPTH,
    MOST_DIGITS,
    has_manifest,
    parse_json,
    read_bounded,
    read_directory,
    write_manifest,
)

SENTENCE = re.compile(r"^[^\n]+: expected [^\n]+, got [^\n]+; [^\n]+[^.]\.$")
FILES = {"config.json": b'{"width": 128, "rate": 0.1}', "model/weights.bin": bytes(range(256))}


@pytest.fixture
def directory(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    write_manifest(tmp_path)
    return tmp_path


def refused(match, call, *args, **options):
    with pytest.raises(ValueError, match=match) as caught:
        call(*args, **options)
    assert SENTENCE.match(str(caught.value)), str(caught.value)


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def rewritten(directory, change):
    """Another manifest with a right hash of its own."""
    from omicsmlm._manifest import _digest_of

    content = json.loads((directory / MANIFEST).read_text())
    del content["sha256"]
    change(content)
    (directory / MANIFEST).write_text(json.dumps(content | {"sha256": _digest_of(content)}))


def test_what_was_written_is_read(directory):
    assert read_directory(directory) == FILES
    assert read_directory(directory, ["config.json"]) == {"config.json": FILES["config.json"]}
    assert has_manifest(directory)
    assert not has_manifest(directory / "model")


def test_any_flipped_bit_is_told(directory):
    rng, told = np.random.default_rng(0), 0
    for name in (*FILES, MANIFEST):
        file = directory / name
        content = file.read_bytes()
        for _ in range(60):
            at, bit = int(rng.integers(len(content))), int(rng.integers(8))
            flipped = bytearray(content)
            flipped[at] ^= 1 << bit
            file.write_bytes(flipped)
            if name == MANIFEST and parsed(flipped) == parsed(content):
                continue  # between blanks
            refused("^load", read_directory, directory)
            told += 1
        file.write_bytes(content)
    assert told > 150


@pytest.mark.parametrize("n", [0, 1, 100])
def test_a_cut_file_is_told(directory, n):
    for name in (*FILES, MANIFEST):
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: min(n, len(content) - 1)])
        refused(r"^load", read_directory, directory)
        (directory / name).write_bytes(content)


def test_a_larger_file_is_not_read(directory):
    with (directory / "config.json").open("r+b") as file:
        file.truncate(2**42)
    refused(r"^load config.json: expected at most 27 bytes, got more; save it again", read_directory, directory)
    with (directory / MANIFEST).open("r+b") as file:
        file.truncate(2**42)
    refused(r"^load manifest.json: expected at most 1048576 bytes, got more", read_directory, directory)


def test_files_larger_together_than_asked_for(directory):
    refused(r"^load '.*': expected at most 100 bytes, got more", read_directory, directory, most_bytes=100)


def test_files_of_two_writings_do_not_mix(directory):
    (directory / "config.json").write_bytes(b'{"width": 128, "rate": 0.2}')
    refused(
        r"^load: expected the config.json that was saved, got a file that has been changed", read_directory, directory
    )


def test_a_missing_file_directory_or_manifest(directory):
    refused(r"expected a manifest that names 'x.json', got one without", read_directory, directory, ["x.json"])
    (directory / "config.json").unlink()
    refused(r"^load config.json: expected a file that can be read, got No such file", read_directory, directory)
    (directory / MANIFEST).unlink()
    refused(r"^load manifest.json: expected a file that can be read, got No such file", read_directory, directory)
    refused(r"^load: expected a file that can be read, got No such file .*none'", read_directory, directory / "none")


@pytest.mark.parametrize(
    "name", ["../outside", "/dev/zero", "a/../../outside", "./config.json", "model//weights.bin", "a\0b", "..", ""]
)
def test_a_manifest_never_leads_out_of_the_directory(directory, name):
    rewritten(directory, lambda content: content["files"].update({name: {"bytes": 9, "sha256": "0"}}))
    refused(
        r"^load manifest.json: expected files in the directory, with size and hash, got others",
        read_directory,
        directory,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(files=[]),
        lambda content: content.update(files={"a": 1}),
        lambda content: content.update(files={"a": {"bytes": -1, "sha256": ""}}),
        lambda content: content.update(files={"a": {"bytes": 1e9, "sha256": ""}}),
        lambda content: content.update(files={"a": {"bytes": True, "sha256": ""}}),
        lambda content: content.update(files={"a": {"sha256": ""}}),
        lambda content: content.update(format=2),
        lambda content: content.update(format=None),
        lambda content: content["files"]["config.json"].update(sha256=None),
        lambda content: content["files"].update({"none": {"bytes": 9, "sha256": "0"}}),
    ],
)
def test_a_manifest_of_another_form(directory, change):
    rewritten(directory, change)
    refused(r"^load", read_directory, directory, None if "none" not in (directory / MANIFEST).read_text() else ["none"])


def test_without_entries_nothing_is_unchecked(directory):
    """An empty list of hashes is no way to switch checking off."""
    rewritten(directory, lambda content: content["files"].clear())
    refused(r"expected a manifest that names 'config.json'", read_directory, directory, ["config.json"])


@pytest.mark.parametrize("name", ["config.json", MANIFEST])
@pytest.mark.parametrize("what", ["pipe", "zero", "folder", "loop"])
def test_devices_pipes_and_folders_are_no_files(directory, name, what):
    file = directory / name
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "zero":
        file.symlink_to("/dev/zero")
    elif what == "folder":
        file.mkdir()
    else:
        file.symlink_to(file)
    refused(rf"^load {name}: expected a file( that can be read)?, got ", read_directory, directory)


def test_a_link_to_the_right_content_is_read(directory, tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "blob"
    (directory / "config.json").rename(store)
    (directory / "config.json").symlink_to(store)
    assert read_directory(directory) == FILES


# ---- reading what may be anything ---------------------------------------------------------------------------------


def test_a_file_is_read_up_to_a_size(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bounded(tmp_path / "x", "load x", 5) == b"12345"
    refused("^load x: expected at most 4 bytes, got more; save it again", read_bounded, tmp_path / "x", "load x", 4)
    refused("^load x: expected a file, got '/dev/zero', which is none", read_bounded, "/dev/zero", "load x", 4)


@pytest.mark.parametrize("content", [b"{}", b'{"a": [1, -2.5e-300, NaN, Infinity, null], "\\"[[": "}{\\\\"}'])
def test_json_is_read_as_ever(content):
    assert repr(parse_json(content, "load x")) == repr(json.loads(content))


def test_json_at_the_limits():
    deep = b'{"a": ' + b"[" * (MOST_DEPTH - 1) + b"]" * (MOST_DEPTH - 1) + b"}"
    assert parse_json(deep, "load x") == json.loads(deep)
    assert parse_json(b'{"a": %s}' % (b"1" * MOST_DIGITS), "load x")["a"] == int("1" * MOST_DIGITS)
    assert parse_json(json.dumps({"a": -1.2345678901234567e-300}).encode(), "load x")
    text = json.dumps({"a" * 1000: "1" * 1000 + "[" * 1000}).encode()
    assert parse_json(text, "load x") == json.loads(text), "texts may be long"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            "expected lists in one another to a depth of 64 and numbers",
        ),
        (b'{"a":' * 100_000, "expected lists in one another to a depth"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "expected lists .* numbers of up to 40 characters, got more"),
        (b'{"a": 1' + b"0" * 100 + b"e5}", "expected lists .* numbers of up to 40 characters, got more"),
        (b"[1]", "expected a JSON object, got list"),
        (b"", "expected a whole JSON file, got Expecting value"),
        (b'{"a": "' + b'\\"' * 200_000, "expected a whole JSON file, got Unterminated string"),
        (b'{"a": "\xff"}', "expected a whole JSON file, got 'utf-8' codec"),
        (b'{"a": 1', "expected a whole JSON file, got "),
        (b"{" + b" " * 200 + b"}", "expected at most 100 bytes, got more"),
    ],
)
def test_json_that_is_none_or_too_much(content, match):
    most = 100 if content.startswith(b"{ ") else 10**9
    refused(f"^load x: {match}", parse_json, content, "load x", most)


def test_the_manifest_of_what_lies_within_is_checked_too(tmp_path):
    """Once a head was loaded although the manifest of its model had been changed."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.json").write_text("{}")
    write_manifest(tmp_path / "model")
    write_manifest(tmp_path)
    assert read_directory(tmp_path, ["model/a.json"]) == {"model/a.json": b"{}"}
    inner = tmp_path / "model" / "manifest.json"
    inner.write_text(inner.read_text().replace("a.json", "b.json"))
    with pytest.raises(
        ValueError, match=r"expected the model/manifest.json that was saved, got a file that has been cha"
    ):
        read_directory(tmp_path, ["model/a.json"])
