"""The image's bill of materials: one component per installed package, the same bytes for the same packages."""
import importlib.util
import json
import os

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
STATUS = """Package: zlib1g
Status: install ok installed
Maintainer: Mark Brown <broonie@debian.org>
Architecture: amd64
Source: zlib (1:1.3-1)
Version: 1:1.3.dfsg+really1.3.1-1+b1
Description: compression library - runtime
 zlib is a library.

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: edged
Status: install ok installed
Architecture: amd64
Version: 0.1.0+deb13
Description: edge firewall of a Kubernetes cluster
"""


def sbom():
    spec = importlib.util.spec_from_file_location("sbom", os.path.join(TOP, "image", "sbom.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_installed_is_in_it():
    bill = sbom().bill(STATUS, "0.1.0", "trixie", 1700000000)
    assert [(part["name"], part["version"]) for part in bill["components"]] == [
        ("zlib1g", "1:1.3.dfsg+really1.3.1-1+b1"), ("edged", "0.1.0+deb13")]
    zlib, ours = (part["purl"] for part in bill["components"])
    assert zlib == "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=debian-trixie"
    assert ours == "pkg:deb/edged/edged@0.1.0%2Bdeb13?arch=amd64"
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert set(bill["dependencies"][0]["dependsOn"]) == {part["bom-ref"] for part in bill["components"]}


def test_the_same_packages_give_the_same_bytes():
    make = sbom().bill
    other_order = "\n\n".join(reversed(STATUS.strip().split("\n\n")))
    same = [json.dumps(make(text, "0.1.0", "trixie", 1)) for text in (STATUS, other_order)]
    assert same[0] == same[1]
    assert make(STATUS.replace("1.3.1", "1.3.2"), "0.1.0", "trixie", 1)["serialNumber"] != json.loads(same[0])["serialNumber"]
