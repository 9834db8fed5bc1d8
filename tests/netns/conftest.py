"""Fixtures of the network tests. Every test has a network of its own, named after it, unless it asks for
`example` (one network and one edged on the example configuration for all tests of a file, which must not
change it)."""
import os
import shutil
import tempfile

import pytest

from harness import Edged, Network
from harness.edged import BUILD
from harness.header import Line
from harness.names import PREFIX, short_name

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for edged in getattr(item, "edged_instances", []) + getattr(item.module, "edged_instances", []):
            report.sections.append((f"log of edged ({edged.log})", edged.log_tail(60)))


class Site:
    """A network and what runs in it, removed together."""

    def __init__(self, name, holder):
        self.folder = tempfile.mkdtemp(prefix="edged-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.name, self.holder, self.instances = f"{PREFIX}-{os.getpid()}-{name}", holder, []
        self.networks = []

    def network(self, nodes=True):
        number = str(len(self.networks)) if self.networks else ""
        folder = os.path.join(self.folder, f"net{number}")
        os.makedirs(folder)
        network = Network(self.name + number, folder, nodes)
        self.networks.append(network)
        return network

    def edged(self, network, config=None, **options):
        for program in ("edged", "edgectl"):
            assert os.path.exists(f"{BUILD}/{program}"), f"{BUILD}/{program} is not there: run make first"
        folder = os.path.join(self.folder, f"edged{len(self.instances)}")
        edged = Edged(network.edge, folder, config, **options)
        self.instances.append(edged)
        if not hasattr(self.holder, "edged_instances"):
            self.holder.edged_instances = []
        self.holder.edged_instances.append(edged)
        return edged

    def close(self):
        try:
            for edged in self.instances:
                edged.stop()
        finally:
            for network in self.networks:
                network.remove()
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def prefix():
    """What the names of this run's namespaces begin with: a later run sweeps up what a killed one left."""
    return f"{PREFIX}-{os.getpid()}"


@pytest.fixture
def make_line(request, root, tmp_path):
    """Lines of three for the header programs, removed after the test."""
    lines = []

    def make(**options):
        lines.append(Line(f"{PREFIX}-{os.getpid()}-{short_name(request.node.name)}", str(tmp_path), **options))
        return lines[-1]
    yield make
    for line in lines:
        line.remove()


@pytest.fixture
def site(request, root):
    site = Site(short_name(request.node.name), request.node)
    yield site
    site.close()


@pytest.fixture
def net(site):
    """A network of the test's own, with its nodes' servers running."""
    return site.network()


@pytest.fixture
def start(site, net):
    """start(config) runs edged on a configuration (default: the example) and waits until it answers."""
    def start_edged(config=None, wait=True, **options):
        return site.edged(net, config, **options).start(wait)
    return start_edged


class Example:
    def __init__(self, net, edged, folder):
        self.net, self.edged, self.folder = net, edged, folder


@pytest.fixture(scope="module")
def example(request, root):
    """edged on the example, as it stands; shared by the tests of a file, which only look."""
    site = Site(short_name(request.module.__name__.split(".")[-1]), request.module)
    try:
        net = site.network()
        edged = site.edged(net).start()
        edged.wait_forwards_up("http", "https", "git-ssh")
        edged.wait_plane("kernel")
        yield Example(net, edged, site.folder)
    finally:
        site.close()
