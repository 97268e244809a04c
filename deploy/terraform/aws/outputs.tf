output "load_balancer" {
  description = "Name to which the names in the certificate should point (CNAME): agents at port 443, operators at 8443."
  value       = aws_lb.this.dns_name
}

output "log_group" {
  description = "Where log lines of agents (stdout) and of the server (stderr) are."
  value       = aws_cloudwatch_log_group.this.name
}

output "database_secret" {
  description = "Secret with the password of the database user fleet."
  value       = aws_secretsmanager_secret.database.arn
}
