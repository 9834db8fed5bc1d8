variable "name" {
  description = "of the instance, and the beginning of all other names"
  type        = string
  default     = "edge"
}

variable "image" {
  description = "name of the uploaded edge image"
  type        = string
}

variable "flavor" {
  description = "name of the flavor; 1 CPU, 512 MB and a disk of 2 GB are enough to begin with"
  type        = string
}

variable "external_network" {
  description = "name of the network that floating IPs come from"
  type        = string
}

variable "transit_cidr" {
  description = "between the cloud's router and the edge"
  type        = string
  default     = "198.18.0.0/28"
}

variable "nodes_cidr" {
  description = "the nodes' private network"
  type        = string
  default     = "192.0.2.0/24"
}

variable "edge_address" {
  description = "the edge's address in it, the nodes' gateway"
  type        = string
  default     = "192.0.2.1"
}

variable "dns_servers" {
  description = "resolvers for both networks"
  type        = list(string)
  default     = []
}

variable "ssh_key" {
  description = "public key of the operator (user edge-admin)"
  type        = string
}

variable "configuration" {
  description = "path of the first edged.yaml; its devices are called wan and lan"
  type        = string
}

variable "management" {
  description = "path of the configuration that is applied when that one is refused"
  type        = string
}
