# The edge on OpenStack: two ports, the private one without port security, a floating IP, the instance.
# The external network's subnet behind the router and the Kubernetes network are there already, or made here.

terraform {
  required_version = ">= 1.3"
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = ">= 1.50"
    }
  }
}

data "openstack_networking_network_v2" "external" {
  name     = var.external_network
  external = true
}

# Where the floating IP is mapped into: a network of its own between the cloud's router and the edge.
resource "openstack_networking_network_v2" "transit" {
  name           = "${var.name}-transit"
  admin_state_up = true
}

resource "openstack_networking_subnet_v2" "transit" {
  name            = "${var.name}-transit"
  network_id      = openstack_networking_network_v2.transit.id
  cidr            = var.transit_cidr
  ip_version      = 4
  dns_nameservers = var.dns_servers
}

resource "openstack_networking_router_v2" "transit" {
  name                = "${var.name}-transit"
  external_network_id = data.openstack_networking_network_v2.external.id
}

resource "openstack_networking_router_interface_v2" "transit" {
  router_id = openstack_networking_router_v2.transit.id
  subnet_id = openstack_networking_subnet_v2.transit.id
}

# The nodes' network. Its gateway is the edge.
resource "openstack_networking_network_v2" "nodes" {
  name           = "${var.name}-nodes"
  admin_state_up = true
}

resource "openstack_networking_subnet_v2" "nodes" {
  name            = "${var.name}-nodes"
  network_id      = openstack_networking_network_v2.nodes.id
  cidr            = var.nodes_cidr
  ip_version      = 4
  gateway_ip      = var.edge_address
  dns_nameservers = var.dns_servers
}

# The edge decides what comes in; the cloud's security groups would only hide from it what was dropped.
resource "openstack_networking_port_v2" "wan" {
  name                  = "${var.name}-wan"
  network_id            = openstack_networking_network_v2.transit.id
  admin_state_up        = true
  port_security_enabled = false

  fixed_ip {
    subnet_id = openstack_networking_subnet_v2.transit.id
  }
}

# It forwards for addresses that are not its own: with port security the cloud would drop that.
resource "openstack_networking_port_v2" "lan" {
  name                  = "${var.name}-lan"
  network_id            = openstack_networking_network_v2.nodes.id
  admin_state_up        = true
  port_security_enabled = false

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.nodes.id
    ip_address = var.edge_address
  }
}

resource "openstack_networking_floatingip_v2" "edge" {
  pool = var.external_network
}

resource "openstack_networking_floatingip_associate_v2" "edge" {
  floating_ip = openstack_networking_floatingip_v2.edge.address
  port_id     = openstack_networking_port_v2.wan.id
  depends_on  = [openstack_networking_router_interface_v2.transit]
}

resource "openstack_compute_instance_v2" "edge" {
  name         = var.name
  image_name   = var.image
  flavor_name  = var.flavor
  config_drive = true

  user_data = templatefile("${path.module}/../user-data.yaml", {
    hostname               = var.name
    ssh_key                = var.ssh_key
    wan_mac                = openstack_networking_port_v2.wan.mac_address
    lan_mac                = openstack_networking_port_v2.lan.mac_address
    edged_yaml_base64      = base64encode(file(var.configuration))
    management_yaml_base64 = base64encode(file(var.management))
  })

  network {
    port = openstack_networking_port_v2.wan.id
  }

  network {
    port = openstack_networking_port_v2.lan.id
  }

  # The configuration lives on the machine from then on: a changed file must not replace the machine.
  lifecycle {
    ignore_changes = [user_data]
  }
}
