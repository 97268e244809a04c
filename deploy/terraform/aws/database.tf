# The password is made here, kept by Secrets Manager, and written nowhere else: neither into the state nor into a plan.
ephemeral "random_password" "database" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret" "database" {
  name_prefix = "${var.name}-database-"
  description = "Password of the database user fleet"
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id                = aws_secretsmanager_secret.database.id
  secret_string_wo         = ephemeral.random_password.database.result
  secret_string_wo_version = var.database_password_version
}

ephemeral "aws_secretsmanager_secret_version" "database" {
  secret_id = aws_secretsmanager_secret_version.database.secret_id
}

resource "aws_db_subnet_group" "this" {
  name_prefix = "${var.name}-"
  subnet_ids  = local.private_subnets
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "mariadb10.11"

  # (mysql.max_open_conns + 4) for each node, and for one more while nodes are replaced: docs/operations.md.
  parameter {
    name  = "max_connections"
    value = tostring(54 * (2 * var.node_count + 1))
  }

  parameter {
    name  = "max_allowed_packet"
    value = "67108864"
  }

  parameter {
    name  = "character_set_server"
    value = "utf8mb4"
  }

  parameter {
    name  = "collation_server"
    value = "utf8mb4_bin"
  }

  parameter {
    name  = "require_secure_transport"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier_prefix         = "${var.name}-"
  engine                    = "mariadb"
  engine_version            = "10.11"
  instance_class            = var.database_class
  allocated_storage         = 50
  max_allocated_storage     = 200
  storage_type              = "gp3"
  storage_encrypted         = true
  multi_az                  = var.database_multi_az
  db_name                   = "fleet"
  username                  = "fleet"
  password_wo               = ephemeral.aws_secretsmanager_secret_version.database.secret_string
  password_wo_version       = var.database_password_version
  ca_cert_identifier        = "rds-ca-rsa2048-g1"
  parameter_group_name      = aws_db_parameter_group.this.name
  db_subnet_group_name      = aws_db_subnet_group.this.name
  vpc_security_group_ids    = [aws_security_group.data.id]
  backup_retention_period   = 14
  copy_tags_to_snapshot     = true
  deletion_protection       = true
  final_snapshot_identifier = "${var.name}-last"
}
