{{- /* Namespaces that the policy is copied to, by name: those of the values, and those that carry the label now. */ -}}
{{- define "retry-sidecar.governedNamespaces" -}}
{{- $names := dict -}}
{{- if .Values.policy.copyToLabelledNamespaces -}}
{{- range (lookup "v1" "Namespace" "" "").items -}}
{{- if eq (dig "metadata" "labels" "sidecar.io/inject" "" .) "enabled" -}}
{{- $_ := set $names .metadata.name true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $namespace := .Values.namespaces -}}
{{- $_ := set $names $name (dig "policy" true ($namespace | default dict)) -}}
{{- end -}}
{{- $_ := set $names .Release.Namespace true -}}
{{- $chosen := list -}}
{{- range $name, $copied := $names -}}
{{- if $copied -}}
{{- $chosen = append $chosen $name -}}
{{- end -}}
{{- end -}}
{{- $chosen | sortAlpha | toJson -}}
{{- end -}}
