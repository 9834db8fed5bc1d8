"""What the image runs for cloud-init, with stand-ins for cloud-init and edgectl: it survives a power cut in its first run."""
import os
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The folders are the test's own, in a mount namespace.
RUN = """mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/cloud /var/lib/edged &&
mount --bind {folder}/cloud /var/lib/cloud && mount --bind {folder}/edged /var/lib/edged &&
cp -a /etc {folder}/all && mkdir -p {folder}/all/edged &&
mount --bind {folder}/all /etc && mount --bind {folder}/etc /etc/edged &&
PATH={folder}/bin:$PATH sh {top}/image/root/usr/lib/edged/provision
"""


def run(folder):
    """One boot: the calls of cloud-init, each word after word, and all that was said."""
    log = folder / "calls"
    shutil.rmtree(folder / "all", ignore_errors=True)
    log.write_text("")
    result = subprocess.run(["unshare", "--mount", "sh", "-c", RUN.format(folder=folder, top=TOP)], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return log.read_text().splitlines(), result.stdout + result.stderr


def stand_ins(folder, revision=1):
    for name in ("bin", "cloud", "edged", "etc"):
        (folder / name).mkdir()
    clean = f"rm -rf {folder}/cloud/*"
    texts = {"cloud-init": f"echo \"$*\" >>{folder}/calls\n[ \"$1\" != clean ] || {clean}\n"
                           f"mkdir -p {folder}/cloud/instances/i {folder}/cloud/instance\n"
                           f": >{folder}/cloud/instance/datasource\n",
             "edgectl": f"echo '{{\"revision\": {revision}}}'\n[ $1 != apply ] || echo apply >>{folder}/calls\n",
             "networkctl": ":\n", "sync": f"echo sync >>{folder}/calls\n"}
    for name, text in texts.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)


def test_a_first_run_that_was_cut_short_begins_anew(tmp_path):
    stand_ins(tmp_path)
    (tmp_path / "cloud" / "instances").mkdir()
    calls, said = run(tmp_path)
    assert calls[:2] == ["clean", "init --local"] and "cut short" in said
    calls, said = run(tmp_path)
    assert calls[0] == "init --local" and "cut short" not in said


def test_a_first_run_that_was_cut_short_after_its_configuration_undoes_nothing(tmp_path):
    """The operator may have edited the files since."""
    stand_ins(tmp_path)
    (tmp_path / "edged" / "revisions" / "1").mkdir(parents=True)
    (tmp_path / "cloud" / "instances").mkdir()
    (tmp_path / "cloud" / "instances" / "network-config.json").write_text("")
    calls, said = run(tmp_path)
    assert calls[0] == "init --local" and "cut short" not in said
    assert not (tmp_path / "cloud" / "instances" / "network-config.json").exists()


def test_files_that_a_power_cut_left_empty_are_made_again(tmp_path):
    stand_ins(tmp_path)
    assert run(tmp_path)[0][0] == "init --local", "nothing is there yet"
    instance = tmp_path / "cloud" / "instances" / "i"
    for name, text in (("network-config.json", ""), ("obj.pkl", ""), ("user-data.txt", ""), ("vendor.json", "{}")):
        (instance / name).write_text(text)
    assert "clean" not in run(tmp_path)[0]
    assert sorted(path.name for path in instance.iterdir()) == ["user-data.txt", "vendor.json"]


def test_what_cloud_init_made_is_on_the_disk_before_a_revision_is(tmp_path):
    """With a revision nothing begins anew: a power cut must not have left the operator's SSH keys empty."""
    stand_ins(tmp_path, revision=0)
    (tmp_path / "etc" / "edged.yaml").write_text("version: 1\n")
    calls, _ = run(tmp_path)
    assert calls[:4] == ["init --local", "init", "sync", "apply"], calls
