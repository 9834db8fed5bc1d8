# The edge on OVH's Public Cloud. A floating IP needs OVH's Gateway (a router with SNAT, IPv4 only), so there is a transit
# network for the two of them, and the edge between it and the nodes' network. Private networks of one region.
# Of each subnet DHCP takes two addresses, and of the transit one the Gateway two.

terraform {
  required_version = ">= 1.3"
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = ">= 1.50"
    }
    ovh = {
      source  = "ovh/ovh"
      version = ">= 0.44"
    }
  }
}

resource "ovh_cloud_project_network_private" "transit" {
  service_name = var.project
  name         = "${var.name}-transit"
  vlan_id      = var.transit_vlan
  regions      = [var.region]
}

resource "ovh_cloud_project_network_private_subnet" "transit" {
  service_name = var.project
  network_id   = ovh_cloud_project_network_private.transit.id
  region       = var.region
  network      = var.transit_cidr
  start        = cidrhost(var.transit_cidr, 2)
  end          = cidrhost(var.transit_cidr, -2)
  dhcp         = true
  no_gateway   = false
}

resource "ovh_cloud_project_gateway" "transit" {
  service_name = var.project
  name         = "${var.name}-transit"
  model        = var.gateway_model
  region       = var.region
  network_id   = local.transit_network
  subnet_id    = ovh_cloud_project_network_private_subnet.transit.id
}

# The nodes' network: the edge is its only gateway.
resource "ovh_cloud_project_network_private" "nodes" {
  service_name = var.project
  name         = "${var.name}-nodes"
  vlan_id      = var.nodes_vlan
  regions      = [var.region]
}

resource "openstack_networking_subnet_v2" "nodes" {
  name            = "${var.name}-nodes"
  region          = var.region
  network_id      = local.nodes_network
  cidr            = var.nodes_cidr
  ip_version      = 4
  gateway_ip      = var.edge_address
  dns_nameservers = var.dns_servers
}

locals {
  # What OpenStack calls the networks that OVH made.
  transit_network = tolist(ovh_cloud_project_network_private.transit.regions_attributes[*].openstackid)[0]
  nodes_network   = tolist(ovh_cloud_project_network_private.nodes.regions_attributes[*].openstackid)[0]
}

resource "openstack_networking_port_v2" "wan" {
  name                  = "${var.name}-wan"
  region                = var.region
  network_id            = local.transit_network
  admin_state_up        = true
  port_security_enabled = false

  fixed_ip {
    subnet_id = ovh_cloud_project_network_private_subnet.transit.id
  }
}

# It forwards for addresses that are not its own: with port security the cloud would drop that.
resource "openstack_networking_port_v2" "lan" {
  name                  = "${var.name}-lan"
  region                = var.region
  network_id            = local.nodes_network
  admin_state_up        = true
  port_security_enabled = false

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.nodes.id
    ip_address = var.edge_address
  }
}

resource "openstack_networking_floatingip_v2" "edge" {
  region = var.region
  pool   = var.external_network
}

resource "openstack_networking_floatingip_associate_v2" "edge" {
  region      = var.region
  floating_ip = openstack_networking_floatingip_v2.edge.address
  port_id     = openstack_networking_port_v2.wan.id
  depends_on  = [ovh_cloud_project_gateway.transit]
}

resource "openstack_compute_instance_v2" "edge" {
  name         = var.name
  region       = var.region
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
