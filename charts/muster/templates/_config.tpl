{{/* Settings that the chart makes of its values, as a section: key: text. */}}
{{- define "muster.ownConfig" -}}
{{- $v := .Values -}}
server:
  address: 0.0.0.0:8080
  {{- if $v.operators.enabled }}
  operator_address: 0.0.0.0:8443
  {{- end }}
  tls: {{ $v.tls.enabled | quote }}
  {{- if $v.tls.enabled }}
  cert: /etc/muster/tls/tls.crt
  key: /etc/muster/tls/tls.key
  {{- end }}
  drain: {{ $v.stop.drainSeconds }}s
  shutdown_timeout: {{ $v.stop.timeoutSeconds }}s
mysql:
  address: {{ ternary (printf "%s-mariadb:3306" (include "muster.name" .)) $v.mysql.address $v.bundled.mariadb.enabled | quote }}
  database: {{ $v.mysql.database | quote }}
  username: {{ $v.mysql.username | quote }}
  password_path: /etc/muster/secrets/mysql/password
  {{- include "muster.mysqlTls" . | nindent 2 }}
{{- if $v.readReplica.address }}
mysql_read_replica:
  address: {{ $v.readReplica.address | quote }}
  database: {{ $v.readReplica.database | quote }}
  username: {{ $v.readReplica.username | quote }}
  password_path: /etc/muster/secrets/read-replica/password
  {{- include "muster.mysqlTls" . | nindent 2 }}
{{- end }}
redis:
  {{- if $v.bundled.redis.enabled }}
  address: {{ include "muster.name" . }}-redis:6379
  {{- else if $v.redis.sentinel.addresses }}
  sentinel_addresses: {{ $v.redis.sentinel.addresses | quote }}
  sentinel_master: {{ $v.redis.sentinel.master | quote }}
  sentinel_username: {{ $v.redis.sentinel.username | quote }}
  {{- if $v.redis.sentinel.existingSecret }}
  sentinel_password_path: /etc/muster/secrets/redis-sentinel/password
  {{- end }}
  {{- else }}
  address: {{ $v.redis.address | quote }}
  {{- end }}
  database: {{ $v.redis.database | quote }}
  username: {{ $v.redis.username | quote }}
  {{- if $v.redis.existingSecret }}
  password_path: /etc/muster/secrets/redis/password
  {{- end }}
  use_tls: {{ $v.redis.tls.enabled | quote }}
  {{- if and $v.redis.tls.enabled $v.redis.tls.existingSecret }}
  tls_ca: /etc/muster/secrets/redis-tls/ca.crt
  {{- if $v.redis.tls.clientCertificate }}
  tls_cert: /etc/muster/secrets/redis-tls/tls.crt
  tls_key: /etc/muster/secrets/redis-tls/tls.key
  {{- end }}
  {{- end }}
  tls_server_name: {{ $v.redis.tls.serverName | quote }}
osquery:
  status_log_plugin: {{ $v.logs.plugin }}
  result_log_plugin: {{ $v.logs.plugin }}
{{- if $v.s3.existingSecret }}
s3:
  secret_access_key_path: /etc/muster/secrets/s3/secret_access_key
{{- end }}
{{- if eq $v.logs.plugin "filesystem" }}
carves:
  dir: /var/log/muster/carves
{{- end }}
{{- end -}}

{{- define "muster.mysqlTls" -}}
{{- $tls := .Values.mysql.tls -}}
tls_config: {{ $tls.mode | quote }}
{{- if $tls.existingSecret }}
tls_ca: /etc/muster/secrets/mysql-tls/ca.crt
{{- if $tls.clientCertificate }}
tls_cert: /etc/muster/secrets/mysql-tls/tls.crt
tls_key: /etc/muster/secrets/mysql-tls/tls.key
{{- end }}
{{- end }}
tls_server_name: {{ $tls.serverName | quote }}
{{- end -}}

{{/* Text of a setting: numbers without an exponent, lists with commas. */}}
{{- define "muster.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* The settings file: what the chart sets, and the value config. */}}
{{- define "muster.config" -}}
{{- $all := include "muster.ownConfig" . | fromYaml -}}
{{- if .Values.bundled.redis.enabled -}}
{{- $_ := set $all "live" (dict "max_all_results" "256MiB" "max_results" "64MiB") -}}
{{- end -}}
{{- range $section, $keys := .Values.config -}}
{{- $_ := set $all $section (merge (deepCopy ($keys | default dict)) (get $all $section | default dict)) -}}
{{- end -}}
{{- range $section, $keys := $all }}
{{ $section }}:
{{- range $key, $value := $keys }}
  {{ $key }}: {{ include "muster.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Refuses values that cannot work, all of them together. */}}
{{- define "muster.check" -}}
{{- $v := .Values -}}
{{- $bad := list -}}
{{- if not $v.image.repository -}}
{{- $bad = append $bad "image.repository: set it; no image is published, build one from deploy/docker/Dockerfile" -}}
{{- end -}}
{{- if and $v.tls.enabled (not $v.tls.existingSecret) -}}
{{- $bad = append $bad "tls.existingSecret: set it; certificates that each node makes for itself differ, and agents trust one" -}}
{{- end -}}
{{- if and $v.bundled.mariadb.enabled $v.mysql.address -}}
{{- $bad = append $bad "mysql.address: leave it empty with bundled.mariadb" -}}
{{- end -}}
{{- if and $v.bundled.mariadb.enabled (or $v.mysql.tls.existingSecret (not (has $v.mysql.tls.mode (list "" "false")))) -}}
{{- $bad = append $bad "mysql.tls: bundled.mariadb has no TLS" -}}
{{- end -}}
{{- if not (or $v.bundled.mariadb.enabled $v.mysql.address) -}}
{{- $bad = append $bad "mysql.address: set it, or bundled.mariadb.enabled for a trial" -}}
{{- end -}}
{{- if not $v.mysql.existingSecret -}}
{{- $bad = append $bad "mysql.existingSecret: set it to the name of a secret with the password" -}}
{{- end -}}
{{- if and $v.readReplica.address (not $v.readReplica.existingSecret) -}}
{{- $bad = append $bad "readReplica.existingSecret: set it to the name of a secret with the password" -}}
{{- end -}}
{{- if and $v.mysql.tls.clientCertificate (not $v.mysql.tls.existingSecret) -}}
{{- $bad = append $bad "mysql.tls.clientCertificate: needs mysql.tls.existingSecret" -}}
{{- end -}}
{{- $redis := compact (list $v.redis.address $v.redis.sentinel.addresses (ternary "bundled" "" $v.bundled.redis.enabled)) -}}
{{- if ne (len $redis) 1 -}}
{{- $bad = append $bad "redis.address, redis.sentinel.addresses and bundled.redis.enabled: set exactly one of them" -}}
{{- end -}}
{{- if and $v.bundled.redis.enabled (not $v.redis.existingSecret) -}}
{{- $bad = append $bad "redis.existingSecret: set it; bundled.redis asks for a password" -}}
{{- end -}}
{{- if and $v.bundled.redis.enabled $v.redis.tls.enabled -}}
{{- $bad = append $bad "redis.tls.enabled: bundled.redis has no TLS" -}}
{{- end -}}
{{- if and (not $v.redis.tls.enabled) (or $v.redis.tls.existingSecret $v.redis.tls.serverName) -}}
{{- $bad = append $bad "redis.tls: has no effect without redis.tls.enabled" -}}
{{- end -}}
{{- if and $v.redis.tls.clientCertificate (not $v.redis.tls.existingSecret) -}}
{{- $bad = append $bad "redis.tls.clientCertificate: needs redis.tls.existingSecret" -}}
{{- end -}}
{{- if and (eq $v.logs.plugin "filesystem") (not $v.logs.existingClaim) -}}
{{- $bad = append $bad "logs.existingClaim: set it; files in a pod's own folder are lost with the pod" -}}
{{- end -}}
{{- if and (ne $v.logs.plugin "filesystem") $v.logs.existingClaim -}}
{{- $bad = append $bad "logs.existingClaim: has no effect unless logs.plugin is filesystem" -}}
{{- end -}}
{{- if and $v.stop.drainSeconds (gt (add $v.stop.drainSeconds 2) (int64 $v.stop.timeoutSeconds)) -}}
{{- $bad = append $bad "stop.drainSeconds: must leave at least 2 s of stop.timeoutSeconds" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int64 $v.autoscaling.minReplicas) (int64 $v.autoscaling.maxReplicas)) -}}
{{- $bad = append $bad "autoscaling.minReplicas: is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not (dig "requests" "cpu" "" $v.resources)) -}}
{{- $bad = append $bad "autoscaling.enabled: needs resources.requests.cpu, of which it counts the share" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- $bad = append $bad "ingress.host: set it" -}}
{{- end -}}
{{- if $v.operators.ingress.enabled -}}
{{- if not $v.operators.ingress.host -}}
{{- $bad = append $bad "operators.ingress.host: set it" -}}
{{- end -}}
{{- if not $v.operators.enabled -}}
{{- $bad = append $bad "operators.ingress.enabled: needs operators.enabled" -}}
{{- end -}}
{{- end -}}
{{- $own := include "muster.ownConfig" . | fromYaml -}}
{{- range $section, $keys := $v.config -}}
{{- range $key, $_ := $keys -}}
{{- if contains "password" $key -}}
{{- $bad = append $bad (printf "config.%s.%s: name a secret instead" $section $key) -}}
{{- else if hasKey (get $own $section | default dict) $key -}}
{{- $bad = append $bad (printf "config.%s.%s: other values of the chart set it" $section $key) -}}
{{- else if has (printf "%s.%s" $section $key) (list "server.operator_address" "server.tls_dir" "server.tls_names" "filesystem.status_log_file" "filesystem.result_log_file") -}}
{{- $bad = append $bad (printf "config.%s.%s: the chart leaves no choice" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $bad -}}
{{- fail (printf "\n  - %s" (join "\n  - " $bad)) -}}
{{- end -}}
{{- end -}}
