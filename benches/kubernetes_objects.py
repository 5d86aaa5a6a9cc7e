#!/usr/bin/env python3
"""Objects as a Kubernetes keeps them in etcd: one transaction for `etcdctl txn`.

    kubernetes_objects.py FIRST COUNT

Six of ten are pods, two TLS Secrets of random bytes, one is a ConfigMap and one an Event. They are JSON, where
Kubernetes writes most as protobuf, and always the same.
"""

import base64
import json
import random
import sys

first, count = int(sys.argv[1]), int(sys.argv[2])
chance = random.Random(first)


def hexadecimal(length):
    return f"{chance.getrandbits(length * 4):0{length}x}"


def uid():
    digits = hexadecimal(32)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def moment():
    return f"2026-0{chance.randint(1, 9)}-{chance.randint(10, 28)}T{chance.randint(10, 23)}:{chance.randint(10, 59)}:{chance.randint(10, 59)}Z"


def metadata(name, namespace, manager):
    return {
        "name": name, "namespace": namespace, "uid": uid(), "creationTimestamp": moment(),
        "labels": {"app.kubernetes.io/name": name.rsplit("-", 1)[0], "pod-template-hash": hexadecimal(10)},
        "managedFields": [{"manager": manager, "operation": "Update", "apiVersion": "v1", "time": moment(),
            "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app.kubernetes.io/name": {},
            "f:pod-template-hash": {}}, "f:ownerReferences": {".": {}, 'k:{"uid":"%s"}' % uid(): {}}}}}],
    }  # fmt: skip


def condition(kind):
    return {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": moment()}


def pod(name, namespace):
    address = f"10.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(2, 254)}"
    image = f"registry.example.com/team/{name.rsplit('-', 1)[0]}:v1.{chance.randint(0, 40)}.{chance.randint(0, 9)}"
    started = moment()
    return {
        "kind": "Pod", "apiVersion": "v1", "metadata": metadata(name, namespace, "kube-controller-manager"),
        "spec": {
            "volumes": [{"name": "kube-api-access-" + hexadecimal(5), "projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1",
                    "fieldPath": "metadata.namespace"}}]}}], "defaultMode": 420}}],
            "containers": [{"name": "main", "image": image, "args": ["--listen=:8080", "--log-level=info"],
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": name + "-db", "key": "url"}}}],
                "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent", "securityContext": {"capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True, "allowPrivilegeEscalation": False}}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "nodeName": f"node-{chance.randint(1, 60)}", "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/" + key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300} for key in ("not-ready", "unreachable")],
            "priority": 0, "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority"},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": started, "qosClass": "Burstable",
            "conditions": [condition(kind) for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
                "PodScheduled")],
            "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": started}}, "lastState": {}, "ready": True,
                "restartCount": 0, "image": image, "imageID": f"{image}@sha256:{hexadecimal(64)}",
                "containerID": f"containerd://{hexadecimal(64)}", "started": True}]},
    }  # fmt: skip


def secret(name, namespace):
    data = {key: base64.b64encode(chance.randbytes(size)).decode() for key, size in (("tls.crt", 1200), ("tls.key", 1200))}
    return {"kind": "Secret", "apiVersion": "v1", "metadata": metadata(name, namespace, "cert-manager"),
            "type": "kubernetes.io/tls", "data": data}  # fmt: skip


def config_map(name, namespace):
    lines = (f"{section}.{key} = {chance.choice(('true', 'false', '30s', '8080', 'info', '/var/lib/app'))}"
             for section in ("server", "client", "cache", "log", "queue") for key in ("enabled", "timeout", "port", "path", "level"))  # fmt: skip
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata(name, namespace, "helm"),
            "data": {"application.properties": "\n".join(lines)}}  # fmt: skip


def event(name, namespace):
    return {
        "kind": "Event", "apiVersion": "v1", "metadata": metadata(name, namespace, "kubelet"),
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid(), "apiVersion": "v1",
            "fieldPath": "spec.containers{main}"},
        "reason": "Pulled", "message": f"Container image for {name} already present on machine",
        "source": {"component": "kubelet", "host": f"node-{chance.randint(1, 60)}"},
        "firstTimestamp": moment(), "lastTimestamp": moment(), "count": chance.randint(1, 90), "type": "Normal",
    }  # fmt: skip


KINDS = [(pod, "pods")] * 6 + [(secret, "secrets")] * 2 + [(config_map, "configmaps"), (event, "events")]

print()
for number in range(first, first + count):
    make, directory = KINDS[number % len(KINDS)]
    namespace, name = f"team-{number % 37}", f"service-{number % 211}-{hexadecimal(10)}"
    # a string of Go's is a string of JSON
    value = json.dumps(json.dumps(make(name, namespace), separators=(",", ":")))
    print(f"put /registry/{directory}/{namespace}/{name} {value}")
print("\n")
