"""Bundles as image/bundle.sh and image/sign.sh make them, and what edgectl image says of them and of this machine."""
import json
import os
import subprocess

import pytest
from test_cli import TOP, edgectl


def run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=60)


@pytest.fixture
def made(tmp_path):
    """A folder with a signed bundle and the folder of its public key."""
    (tmp_path / "boot").write_bytes(os.urandom(300001))
    (tmp_path / "root").write_bytes(os.urandom(2 << 20))
    (tmp_path / "keys").mkdir()
    run("openssl", "genpkey", "-algorithm", "ED25519", "-out", tmp_path / "key")
    run("openssl", "pkey", "-in", tmp_path / "key", "-pubout", "-out", tmp_path / "keys" / "release.pem")
    run(f"{TOP}/image/bundle.sh", tmp_path / "unsigned", "1.2.3", tmp_path / "boot", tmp_path / "root")
    run(f"{TOP}/image/sign.sh", tmp_path / "unsigned", tmp_path / "key", tmp_path / "bundle")
    return tmp_path


def check(made, name, *more):
    return edgectl("image", "check", made / name, "--keys", made / "keys", *more)


def test_what_is_signed_is_taken(made):
    result = check(made, "bundle")
    assert (result.returncode, result.stdout) == (
        0, f"version 1.2.3, complete, signed by {made}/keys/release.pem\n"), result.stderr
    assert json.loads(check(made, "bundle", "--json").stdout) == {"version": "1.2.3", "key": f"{made}/keys/release.pem"}


def test_the_same_parts_make_the_same_bundle(made):
    run(f"{TOP}/image/bundle.sh", made / "again", "1.2.3", made / "boot", made / "root")
    run(f"{TOP}/image/sign.sh", made / "again", made / "key")
    assert (made / "again").read_bytes() == (made / "bundle").read_bytes()


def test_what_is_not_is_refused_and_says_what_to_do(made):
    run("openssl", "genpkey", "-algorithm", "ED25519", "-out", made / "stranger")
    run(f"{TOP}/image/sign.sh", made / "unsigned", made / "stranger", made / "strange")
    whole = (made / "bundle").read_bytes()
    (made / "cut").write_bytes(whole[:len(whole) // 2])
    (made / "flipped").write_bytes(whole[:-60000] + bytes([whole[-60000] ^ 1]) + whole[-59999:])
    for name, words in {"unsigned": "is not signed: whoever holds the key signs it with image/sign.sh",
                        "strange": "no key of this machine has signed", "cut": "is incomplete: copy it once more",
                        "flipped": "its part root is not what was signed", "key": "incomplete",
                        "boot": "is no bundle of this format"}.items():
        result = check(made, name)
        assert (result.returncode, result.stdout) == (1, "")
        assert words in result.stderr, name
    (made / "keys" / "release.pem").unlink()
    assert f"put the one whose private half signs your bundles into {made}/keys" in check(made, "bundle").stderr


def test_a_key_of_another_kind_signs_nothing(made):
    run("openssl", "genpkey", "-algorithm", "RSA", "-out", made / "rsa")
    result = subprocess.run([f"{TOP}/image/sign.sh", made / "unsigned", made / "rsa", made / "bad"], capture_output=True,
                            text=True, check=False, timeout=60)
    assert result.returncode and not (made / "bad").exists()


@pytest.mark.parametrize("command", ["status", "commit", "rollback", "install"])
def test_a_machine_without_slots(made, command):
    result = edgectl("image", command, *([made / "bundle"] if command == "install" else []))
    assert (result.returncode, result.stdout) == (1, "")
    assert "was not started from an image with slots" in result.stderr
