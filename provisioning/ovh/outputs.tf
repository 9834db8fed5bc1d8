output "public_address" {
  description = "the floating IP: put it into floating_ips of the configuration"
  value       = openstack_networking_floatingip_v2.edge.address
}

output "nodes_network" {
  description = "the network to put the nodes into"
  value       = local.nodes_network
}

output "nodes_subnet" {
  value = openstack_networking_subnet_v2.nodes.id
}

output "wan_port" {
  description = "a replacement of the machine takes over this port, and with it the floating IP"
  value       = openstack_networking_port_v2.wan.id
}

output "lan_port" {
  value = openstack_networking_port_v2.lan.id
}
