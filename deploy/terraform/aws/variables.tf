variable "name" {
  description = "Name of everything that is made."
  type        = string
  default     = "muster"
}

variable "region" {
  description = "Region of AWS."
  type        = string
}

variable "image" {
  description = "Image built from deploy/docker/Dockerfile, with its tag, in a registry that the tasks can read without a password, such as ECR of the same account."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate of ACM for the names by which agents and operators know the load balancer."
  type        = string
}

variable "rds_ca_file" {
  description = "File with the CA certificates of RDS in this region: https://truststore.pki.rds.amazonaws.com/REGION/REGION-bundle.pem."
  type        = string
}

variable "agent_networks" {
  description = "Networks (CIDR) that agents come from."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "operator_networks" {
  description = "Networks (CIDR) that operators and Prometheus come from."
  type        = list(string)
}

variable "network" {
  description = "Network (CIDR) of the VPC that is made."
  type        = string
  default     = "10.64.0.0/16"
}

# For 10,000 hosts, docs/sizing.md (worked out from docs/performance.md) says 0.5 cores of all nodes together where
# each request has a TLS connection of its own, as here, and to plan twice that: either of two nodes can do it alone.
variable "node_count" {
  description = "Number of nodes."
  type        = number
  default     = 2
}

variable "node_cpu" {
  description = "CPU of a node, in 1/1024 of a core."
  type        = number
  default     = 1024
}

# 60 MB, 15 MB for the hosts, 20 KiB for each of 10,000 connections, 64 MiB of osquery.max_config_cache, and what bodies may take:
# 3 × osquery.max_bodies_in_flight (512 MiB) and osquery.max_log_in_flight (256 MiB); rounded up to a size that Fargate has.
variable "node_memory" {
  description = "Memory of a node, in MiB."
  type        = number
  default     = 3072
}

variable "database_class" {
  description = "Class of the database. 10,000 hosts take 0.02 of a core (docs/sizing.md)."
  type        = string
  default     = "db.t4g.small"
}

variable "database_multi_az" {
  description = "Whether the database has a standby in another zone."
  type        = bool
  default     = true
}

variable "database_password_version" {
  description = "Raise it to set a new password of the database; then deploy the service anew."
  type        = number
  default     = 1
}

variable "redis_class" {
  description = "Class of Redis. It must hold 1.35 times live_max_all_results, and 80 MB for log batches of 50,000 hosts (docs/operations.md, Redis)."
  type        = string
  default     = "cache.t4g.medium"
}

variable "live_max_all_results" {
  description = "live.max_all_results, of which Redis takes 1.35 times as much."
  type        = string
  default     = "1GiB"
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps the log lines of agents and of the server."
  type        = number
  default     = 30
}
