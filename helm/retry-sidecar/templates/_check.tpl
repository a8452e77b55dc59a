{{- /* Combinations that no schema can judge. Each message names the value and the cure. */ -}}
{{- define "retry-sidecar.check" -}}
{{- with .Values.webhook -}}
{{- if and .enabled (eq .certificate.source "secret") -}}
{{- if not .certificate.secretName -}}
{{- fail "webhook.certificate.secretName: name the kubernetes.io/tls Secret, for webhook.certificate.source is secret" -}}
{{- end -}}
{{- if not .certificate.caBundle -}}
{{- fail "webhook.certificate.caBundle: give the PEM of the authority that signed the Secret's certificate, or the API server cannot trust the webhook" -}}
{{- end -}}
{{- end -}}
{{- if and (ne .certificate.source "secret") .certificate.secretName -}}
{{- fail (printf "webhook.certificate.secretName: %q is not used, for webhook.certificate.source is %s; say source: secret" .certificate.secretName .certificate.source) -}}
{{- end -}}
{{- if and .enabled (eq .failurePolicy "Fail") (lt (int .replicas) 2) -}}
{{- fail "webhook.failurePolicy: Fail with one replica keeps every opted-in pod from starting while that one is away; set webhook.replicas to 2 or more" -}}
{{- end -}}
{{- end -}}
{{- with .Values.policy -}}
{{- if and .url .signatures -}}
{{- fail "policy.signatures: belongs to policy.document; the signatures of policy.url are read at that address with .sig" -}}
{{- end -}}
{{- if and .keys (not .url) (not .signatures) -}}
{{- fail "policy.signatures: policy.keys are pinned, so every pod would refuse the unsigned policy.document; sign it with `sidecar policy sign`" -}}
{{- end -}}
{{- if and .keys (gt (int .required) (len .keys)) -}}
{{- fail (printf "policy.required: %d signatures can not come from %d keys" (int .required) (len .keys)) -}}
{{- end -}}
{{- if and .editors (or .url (not .enabled)) -}}
{{- fail "policy.editors: there is no ConfigMap with a policy to edit; it comes from policy.url, or policy.enabled is false" -}}
{{- end -}}
{{- end -}}
{{- range $name, $namespace := .Values.namespaces -}}
{{- $idempotency := dig "sidecar" "ingress" "idempotency" dict ($namespace | default dict) -}}
{{- $replicas := int (dig "replicas" 1 $idempotency) -}}
{{- if and (hasKey (dig "store" dict $idempotency) "sqlite") (gt $replicas 1) -}}
{{- fail (printf "namespaces.%s.sidecar.ingress.idempotency.store: sqlite is embedded in one pod, and with replicas: %d a key that one pod has seen would run again on another; use redis or postgres" $name $replicas) -}}
{{- end -}}
{{- if and (dig "sidecar" "policy" "" ($namespace | default dict)) $.Values.policy.enabled -}}
{{- fail (printf "namespaces.%s.sidecar.policy: the authority of this chart names the policy, and a sidecar refuses a second one; leave it out, or set policy.enabled to false" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
