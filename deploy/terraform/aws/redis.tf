resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = local.private_subnets
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-redis7"
  family = "redis7"

  # A Redis that evicts keys makes the server ask hosts twice.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

# Without a password, which the state would hold: only nodes can reach it. Nothing in it needs a backup.
resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Live queries and log batches of Muster"
  engine                     = "redis"
  engine_version             = "7.1"
  node_type                  = var.redis_class
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true
  snapshot_retention_limit   = 0
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.data.id]
}
