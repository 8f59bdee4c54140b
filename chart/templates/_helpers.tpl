{{/* One Berth serves one hub, and the hub's configuration calls it by this name: everything is called so. */}}
{{- define "berth.name" -}}berth{{- end }}

{{/* Cluster-wide objects: there may be a hub, and a Berth, in more than one namespace. */}}
{{- define "berth.clusterName" -}}berth-{{ .Release.Namespace }}{{- end }}

{{- define "berth.selectorLabels" -}}
app.kubernetes.io/name: berth
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "berth.labels" -}}
{{ include "berth.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: jupyterhub
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "berth.image" -}}
{{- $repository := required "image.repository: say where your Berth image is, such as registry.example.org/library/berth" .Values.image.repository -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The catalogue with its namespace, or nothing. */}}
{{- define "berth.catalogue" -}}
{{- if .Values.catalogue -}}
{{- toYaml (set (deepCopy .Values.catalogue) "namespace" .Release.Namespace) -}}
{{- end -}}
{{- end }}

{{- define "berth.readOnly" -}}
verbs: [get, list, watch]
{{- end }}
