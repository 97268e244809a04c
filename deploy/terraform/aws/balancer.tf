locals {
  # Port of the load balancer, and of the nodes.
  clients = {
    agents    = { outside = 443, inside = 8080 }
    operators = { outside = 8443, inside = 8443 }
  }
}

resource "aws_lb" "this" {
  name                             = var.name
  load_balancer_type               = "network"
  subnets                          = local.public_subnets
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
}

# TLS goes on to the nodes, which make a certificate for themselves that the load balancer does not check. A load balancer
# of this kind changes nothing of what is sent and answers nothing itself: agents would take foreign answers for success.
resource "aws_lb_target_group" "this" {
  for_each    = local.clients
  name        = "${var.name}-${each.key}"
  vpc_id      = aws_vpc.this.id
  target_type = "ip"
  protocol    = "TLS"
  port        = each.value.inside
  # Nodes see the addresses of agents and operators, by which they limit logins.
  preserve_client_ip   = "true"
  deregistration_delay = 30

  # Notices a node that stops within 20 s: server.drain is longer.
  health_check {
    protocol            = "HTTPS"
    path                = "/healthz"
    port                = "traffic-port"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "this" {
  for_each          = local.clients
  load_balancer_arn = aws_lb.this.arn
  protocol          = "TLS"
  port              = each.value.outside
  certificate_arn   = var.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }
}
