"""provisioning/, checked without a cloud: syntax, argument names, references, and what the one user-data template becomes.

The tables hold the arguments of the resources that are used, from the providers' and Heat's references."""
import base64
import glob
import os
import re
import subprocess

import pytest
import yaml

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FOLDER = os.path.join(TOP, "provisioning")
MODULES = ("openstack", "ovh")
ARGUMENTS = {
    "openstack_networking_network_v2": "name admin_state_up region external",
    "openstack_networking_subnet_v2": "name region network_id cidr ip_version gateway_ip no_gateway dns_nameservers"
                                      " enable_dhcp",
    "openstack_networking_router_v2": "name region external_network_id admin_state_up",
    "openstack_networking_router_interface_v2": "region router_id subnet_id port_id",
    "openstack_networking_port_v2": "name region network_id admin_state_up port_security_enabled fixed_ip security_group_ids"
                                    " no_security_groups allowed_address_pairs",
    "openstack_networking_floatingip_v2": "region pool port_id description",
    "openstack_networking_floatingip_associate_v2": "region floating_ip port_id fixed_ip",
    "openstack_compute_instance_v2": "name region image_id image_name flavor_id flavor_name config_drive user_data network"
                                     " availability_zone key_pair security_groups",
    "ovh_cloud_project_network_private": "service_name name vlan_id regions",
    "ovh_cloud_project_network_private_subnet": "service_name network_id region network start end dhcp no_gateway",
    "ovh_cloud_project_gateway": "service_name name model region network_id subnet_id",
}
BLOCKS = {"fixed_ip": "subnet_id ip_address", "network": "port uuid name fixed_ip_v4", "lifecycle": "ignore_changes"}
META = {"depends_on", "lifecycle", "count", "for_each", "provider"}
HEAT = {
    "OS::Neutron::Net": "name admin_state_up port_security_enabled",
    "OS::Neutron::Subnet": "name network cidr ip_version gateway_ip dns_nameservers enable_dhcp allocation_pools",
    "OS::Neutron::Router": "name external_gateway_info admin_state_up",
    "OS::Neutron::RouterInterface": "router subnet port",
    "OS::Neutron::Port": "name network port_security_enabled fixed_ips security_groups allowed_address_pairs",
    "OS::Neutron::FloatingIP": "floating_network port_id fixed_ip_address",
    "OS::Nova::Server": "name image flavor config_drive networks user_data_format user_data user_data_update_policy key_name",
}
FUNCTIONS = {"get_param", "get_resource", "get_attr", "get_file", "str_replace", "list_join"}


def text_of(*parts):
    with open(os.path.join(FOLDER, *parts), encoding="utf-8") as file:
        return file.read()


def blocks(text):
    """(kind, labels, body) of each block at the top of an HCL text; bodies are balanced text."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    at = 0
    while match := re.compile(r'\s*(\w+)((?:\s+"[^"]*")*)\s*\{').match(text, at):
        depth, end = 1, match.end()
        while depth:
            assert end < len(text), f"{match[1]}{match[2]}: the block is not closed"
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield match[1], re.findall(r'"([^"]*)"', match[2]), text[match.end():end - 1]
        at = end
    assert not text[at:].strip(), f"what is this: {text[at:at + 80]!r}"


def arguments(body):
    """Names set at the top of a body, and its inner blocks as (name, body)."""
    names, inner, depth = [], [], 0
    for line in body.splitlines():
        change = sum(line.count(c) for c in "{[(") - sum(line.count(c) for c in "}])")
        if depth == 0:
            if match := re.match(r"\s*(\w+)\s*=", line):
                names.append(match[1])
            elif match := re.match(r"\s*(\w+)\s*\{", line):
                inner.append([match[1], ""])
        elif inner and depth + change > 0:
            inner[-1][1] += line + "\n"
        depth += change
    assert depth == 0, f"brackets do not match in {body[:60]!r}"
    return names, inner


def module(name):
    return [block for path in sorted(glob.glob(f"{FOLDER}/{name}/*.tf"))
            for block in blocks(text_of(name, os.path.basename(path)))]


@pytest.mark.parametrize("name", MODULES)
def test_terraform_sets_what_the_resources_have(name):
    for kind, labels, body in module(name):
        if kind not in ("resource", "data"):
            continue
        names, inner = arguments(body)
        known = set(ARGUMENTS[labels[0]].split()) | META
        assert set(names) | {block for block, _ in inner} <= known, f"{labels}: {set(names) - known}"
        for block, content in inner:
            assert set(arguments(content)[0]) <= set(BLOCKS[block].split()), f"{labels}: {block}"


@pytest.mark.parametrize("name", MODULES)
def test_terraform_refers_to_what_is_there(name):
    whole = module(name)
    variables = {labels[0] for kind, labels, _ in whole if kind == "variable"}
    resources = {".".join(labels) for kind, labels, _ in whole if kind == "resource"}
    data = {".".join(labels) for kind, labels, _ in whole if kind == "data"}
    local = {word for kind, _, body in whole if kind == "locals" for word in arguments(body)[0]}
    everything = "\n".join(body for _, _, body in whole)
    assert set(re.findall(r"\bvar\.(\w+)", everything)) == variables, "each variable is used, and each that is used is there"
    assert set(re.findall(r"\blocal\.(\w+)", everything)) == local
    assert set(re.findall(r"\bdata\.(\w+\.\w+)", everything)) <= data
    used = set(re.findall(r"(?<!data\.)\b((?:openstack|ovh)_\w+\.\w+)", everything))
    assert used <= resources, used - resources


@pytest.mark.parametrize("name", MODULES)
def test_terraform_fills_the_template_in(name):
    template = text_of("user-data.yaml")
    wanted = set(re.findall(r"\$\{(\w+)\}", template))
    assert template.count("${") == len(wanted), "in comments, too, templatefile() takes it for one of its own"
    call = re.search(r'templatefile\("\$\{path\.module\}/\.\./user-data\.yaml", \{(.*?)\}\)', text_of(name, "main.tf"), re.S)
    assert set(re.findall(r"^\s*(\w+)\s*=", call[1], re.M)) == wanted
    lan, = [body for kind, labels, body in module(name) if labels == ["openstack_networking_port_v2", "lan"]]
    assert re.search(r"port_security_enabled\s*=\s*false", lan)


def test_the_checks_can_fail():
    with pytest.raises(AssertionError):
        list(blocks('resource "a" "b" {\n  x = 1\n'))
    names, inner = arguments("\n  name = 1\n  network {\n    port = 2\n  }\n")
    assert (names, [block for block, _ in inner]) == (["name"], ["network"])


def walk(value):
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


def test_heat():
    stack = yaml.safe_load(text_of("heat", "edge.yaml"))
    resources, parameters = stack["resources"], stack["parameters"]
    used = set()
    for name, resource in resources.items():
        assert set(resource["properties"]) <= set(HEAT[resource["type"]].split()), name
        assert resource.get("depends_on", name) in resources
    for value in walk({"resources": resources, "outputs": stack["outputs"]}):
        if isinstance(value, dict) and len(value) == 1 and (function := next(iter(value))) in FUNCTIONS:
            target = value[function]
            if function == "get_param":
                used.add(target)
            elif function in ("get_resource", "get_attr"):
                assert (target if function == "get_resource" else target[0]) in resources, value
            elif function == "get_file":
                assert os.path.exists(os.path.join(FOLDER, "heat", target))
    assert used == set(parameters)
    filled = resources["edge"]["properties"]["user_data"]["str_replace"]["params"]
    assert set(filled) == set(re.findall(r"\$\{\w+\}", text_of("user-data.yaml")))
    assert resources["lan"]["properties"]["port_security_enabled"] is False


def user_data(**changes):
    values = {"hostname": "edge", "ssh_key": "ssh-ed25519 AAAA operator", "wan_mac": "52:54:00:00:00:01", "lan_mac": "",
              **{f"{name}_yaml_base64": base64.b64encode(text_of(f"{name}.yaml").encode()).decode()
                 for name in ("edged", "management")}, **changes}
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text_of("user-data.yaml"))


def test_the_template_becomes_user_data(tmp_path):
    text = user_data()
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    assert set(data) == {"hostname", "ssh_authorized_keys", "write_files"}
    files = {entry["path"]: entry for entry in data["write_files"]}
    assert files["/etc/edged/legs"]["content"].split() == ["wan", "52:54:00:00:00:01", "lan"]
    for name in ("edged", "management"):
        entry = files[f"/etc/edged/{name}.yaml"]
        assert entry["encoding"] == "b64"
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(base64.b64decode(entry["content"]))
        checked = subprocess.run([f"{TOP}/build/edgectl", "check", str(path)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_secret_and_no_foreign_address():
    for path in glob.glob(f"{FOLDER}/**/*", recursive=True):
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            assert not re.search(r"PRIVATE KEY|password\s*[=:]|secret\s*[=:]|token\s*[=:]", text, re.I), path
            for address in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text):
                assert address.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "198.18.")), f"{path}: {address}"
