{{- /* The settings of `sidecar webhook` and `sidecar inject`; `sidecar inject --schema` describes them. */ -}}
{{- define "retry-sidecar.injection" -}}
image: {{ include "retry-sidecar.image" . | quote }}
image_pull_policy: {{ .Values.image.pullPolicy }}
native: {{ .Values.injection.native }}
drain: {{ .Values.injection.drain }}
resources: {{- toYaml .Values.injection.resources | nindent 2 }}
{{- if .Values.policy.enabled }}
authority: retry-sidecar-policy
authority_required: {{ .Values.policy.mandatory }}
{{- end }}
config_map: retry-sidecar
failure: {{ lower .Values.webhook.failurePolicy }}
{{- end -}}
