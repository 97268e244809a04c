{{/* Variables of a container that runs muster. Takes a list: the root and whether it serves. */}}
{{- define "muster.env" -}}
{{- $root := index . 0 -}}{{- $v := $root.Values -}}
- {name: TMPDIR, value: /tmp}
{{- if index . 1 }}
{{- if eq $v.logs.plugin "filesystem" }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
# Each node has log files of its own.
- {name: FLEET_FILESYSTEM_STATUS_LOG_FILE, value: /var/log/muster/$(POD_NAME)/osquery_status}
- {name: FLEET_FILESYSTEM_RESULT_LOG_FILE, value: /var/log/muster/$(POD_NAME)/osquery_result}
{{- end }}
{{- with $v.metrics.basicAuth.existingSecret }}
- name: FLEET_PROMETHEUS_BASIC_AUTH_USERNAME
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: username}}
- {name: FLEET_PROMETHEUS_BASIC_AUTH_PASSWORD_PATH, value: /etc/muster/secrets/metrics/password}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where a container that runs muster finds its files; the nodes' certificate and log files come besides. */}}
{{- define "muster.mounts" -}}
- {name: config, mountPath: /etc/muster/muster.yml, subPath: muster.yml, readOnly: true}
- {name: secrets, mountPath: /etc/muster/secrets, readOnly: true}
# The sockets of TLS to the database.
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* The volumes of these. Takes a dict: root, config (name of the ConfigMap), secret and key of the database's password, and serves (whether it serves). */}}
{{- define "muster.volumes" -}}
{{- $v := .root.Values -}}
- name: config
  configMap: {name: {{ .config }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .secret | quote }}
          items: [{key: {{ .key | quote }}, path: mysql/password}]
      {{- if $v.readReplica.address }}
      - secret:
          name: {{ $v.readReplica.existingSecret | quote }}
          items: [{key: {{ $v.readReplica.passwordKey | quote }}, path: read-replica/password}]
      {{- end }}
      {{- if $v.redis.existingSecret }}
      - secret:
          name: {{ $v.redis.existingSecret | quote }}
          items: [{key: {{ $v.redis.passwordKey | quote }}, path: redis/password}]
      {{- end }}
      {{- if and $v.redis.sentinel.addresses $v.redis.sentinel.existingSecret }}
      - secret:
          name: {{ $v.redis.sentinel.existingSecret | quote }}
          items: [{key: {{ $v.redis.sentinel.passwordKey | quote }}, path: redis-sentinel/password}]
      {{- end }}
      {{- if and .serves $v.metrics.basicAuth.existingSecret }}
      - secret:
          name: {{ $v.metrics.basicAuth.existingSecret | quote }}
          items: [{key: password, path: metrics/password}]
      {{- end }}
      {{- if $v.s3.existingSecret }}
      - secret:
          name: {{ $v.s3.existingSecret | quote }}
          items: [{key: {{ $v.s3.secretKey | quote }}, path: s3/secret_access_key}]
      {{- end }}
      {{- range $part, $tls := dict "mysql" $v.mysql.tls "redis" $v.redis.tls }}
      {{- if $tls.existingSecret }}
      - secret:
          name: {{ $tls.existingSecret | quote }}
          items:
            - {key: ca.crt, path: {{ $part }}-tls/ca.crt}
            {{- if $tls.clientCertificate }}
            - {key: tls.crt, path: {{ $part }}-tls/tls.crt}
            - {key: tls.key, path: {{ $part }}-tls/tls.key}
            {{- end }}
      {{- end }}
      {{- end }}
{{- end -}}
