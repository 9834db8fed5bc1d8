"""What an image consists of, as CycloneDX 1.5: sbom.py STATUS VERSION SUITE, from dpkg's status file. The same packages give
the same bytes: the serial number comes from them, the time from SOURCE_DATE_EPOCH."""
import datetime
import json
import os
import sys
import urllib.parse
import uuid

SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122, appendix C: names that are URLs


def packages(text):
    for paragraph in text.strip().split("\n\n"):
        fields, name = {}, None
        for line in paragraph.splitlines():
            if line[:1] in " \t":
                continue  # of a long field only the first line is wanted
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        if fields.get("Status", "").endswith(" installed"):
            yield fields


def component(fields, suite):
    # Package URL, type deb: https://github.com/package-url/purl-spec
    name, version, source = fields["Package"], fields["Version"], fields.get("Source", fields["Package"]).split(" ")[0]
    quote = urllib.parse.quote
    ours = source.startswith("edged")
    purl = (f"pkg:deb/{'edged' if ours else 'debian'}/{quote(name)}@{quote(version, safe='')}"
            f"?arch={fields['Architecture']}{'' if ours else f'&distro=debian-{suite}'}")
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "supplier": {"name": fields.get("Maintainer", "")}, "description": fields.get("Description", ""),
            "properties": [{"name": "deb:source", "value": source}]}


def bill(text, version, suite, seconds):
    parts = sorted((component(fields, suite) for fields in packages(text)), key=lambda part: part["bom-ref"])
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    serial = uuid.uuid5(SPACE, version + "\n" + "\n".join(part["bom-ref"] for part in parts))
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1,
            "metadata": {"timestamp": time, "component": {"type": "operating-system", "name": "edged-image",
                                                          "version": version, "bom-ref": "image"}},
            "components": parts,
            "dependencies": [{"ref": "image", "dependsOn": [part["bom-ref"] for part in parts]}]}


def main():
    status, version, suite = sys.argv[1:]
    with open(status, encoding="utf-8") as file:
        text = file.read()
    print(json.dumps(bill(text, version, suite, int(os.environ["SOURCE_DATE_EPOCH"])), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
