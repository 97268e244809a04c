resource "aws_cloudwatch_log_group" "this" {
  name              = "/muster/${var.name}"
  retention_in_days = var.log_retention_days
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.database.arn]
  }
}

# The role by which ECS starts tasks; the server itself has none.
resource "aws_iam_role" "start" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "start" {
  role       = aws_iam_role.start.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "secrets" {
  name   = "secrets"
  role   = aws_iam_role.start.id
  policy = data.aws_iam_policy_document.secrets.json
}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

locals {
  settings = {
    FLEET_SERVER_OPERATOR_ADDRESS   = "0.0.0.0:8443"
    FLEET_SERVER_DRAIN              = "25s"
    FLEET_SERVER_SHUTDOWN_TIMEOUT   = "40s"
    FLEET_MYSQL_ADDRESS             = aws_db_instance.this.endpoint
    FLEET_MYSQL_DATABASE            = "fleet"
    FLEET_MYSQL_USERNAME            = "fleet"
    FLEET_MYSQL_TLS_CA              = "/tmp/rds-ca.pem"
    FLEET_REDIS_ADDRESS             = "${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
    FLEET_REDIS_USE_TLS             = "true"
    FLEET_LIVE_MAX_ALL_RESULTS      = var.live_max_all_results
    FLEET_OSQUERY_STATUS_LOG_PLUGIN = "stdout"
    FLEET_OSQUERY_RESULT_LOG_PLUGIN = "stdout"
  }

  container = {
    image = var.image
    # The file of CAs comes as a variable, as tasks have no other place for it.
    entryPoint = ["bash", "-ec", "printf '%s\\n' \"$RDS_CA\" > /tmp/rds-ca.pem; unset RDS_CA; exec muster-entrypoint \"$@\"", "muster"]
    environment = concat(
      [for name, value in local.settings : { name = name, value = value }],
      [{ name = "RDS_CA", value = file(var.rds_ca_file) }],
    )
    secrets = [{ name = "FLEET_MYSQL_PASSWORD", valueFrom = aws_secretsmanager_secret.database.arn }]
    ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = "node"
        # The other mode drops lines that agents were told are kept.
        mode = "blocking"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.node_cpu
  memory                   = var.node_memory
  execution_role_arn       = aws_iam_role.start.arn

  container_definitions = jsonencode([
    # Safe to repeat, and in several tasks at one time: one migrates, the others wait. Old nodes go on meanwhile.
    merge(local.container, {
      name      = "prepare"
      essential = false
      command   = ["prepare", "db"]
    }),
    merge(local.container, {
      name         = "muster"
      essential    = true
      command      = ["serve"]
      dependsOn    = [{ containerName = "prepare", condition = "SUCCESS" }]
      portMappings = [for client in local.clients : { containerPort = client.inside, protocol = "tcp" }]
      # Longer than server.shutdown_timeout.
      stopTimeout = 60
    }),
  ])
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.node_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  # Migrations come first.
  health_check_grace_period_seconds = 600

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets         = local.private_subnets
    security_groups = [aws_security_group.node.id]
  }

  dynamic "load_balancer" {
    for_each = local.clients

    content {
      target_group_arn = aws_lb_target_group.this[load_balancer.key].arn
      container_name   = "muster"
      container_port   = load_balancer.value.inside
    }
  }

  # The secret has no value before its first version.
  depends_on = [
    aws_lb_listener.this,
    aws_iam_role_policy.secrets,
    aws_iam_role_policy_attachment.start,
    aws_secretsmanager_secret_version.database,
  ]
}
