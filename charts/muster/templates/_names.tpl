{{/* Name of everything that is made: the release's, with the chart's if that lacks it. */}}
{{- define "muster.name" -}}
{{- $name := ternary .Release.Name (printf "%s-muster" .Release.Name) (contains "muster" .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels by which pods of a component are found; they never change. Takes a list: the root and the component. */}}
{{- define "muster.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels of an object of a component. Takes a list: the root and the component. */}}
{{- define "muster.labels" -}}
{{- $root := index . 0 -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "muster.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "muster.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "muster.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* Path in front of all paths of the server, or nothing. */}}
{{- define "muster.prefix" -}}
{{- dig "server" "url_prefix" "" .Values.config -}}
{{- end -}}

{{- define "muster.scheme" -}}
{{- ternary "HTTPS" "HTTP" .Values.tls.enabled -}}
{{- end -}}

{{/* Name of the port of operators: their own, or that of everybody. */}}
{{- define "muster.operatorsPort" -}}
{{- ternary "operators" "agents" .Values.operators.enabled -}}
{{- end -}}

{{/* Whether each pod migrates the database before it serves: the bundled one is not there yet when hooks run. */}}
{{- define "muster.migratesInPod" -}}
{{- and .Values.migration.enabled .Values.bundled.mariadb.enabled -}}
{{- end -}}

{{- define "muster.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurityContext.runAsUser }}
runAsGroup: {{ .Values.podSecurityContext.runAsGroup }}
fsGroup: {{ .Values.podSecurityContext.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "muster.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
