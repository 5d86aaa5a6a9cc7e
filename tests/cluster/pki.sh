# shellcheck shell=bash
# Certificates and kubeconfigs of the cluster. Sourced by `up`.

PKI="$STATE/pki"

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$PKI/$1.key" 2>/dev/null; }

new_authority() {
  new_key "$1"
  openssl req -x509 -new -key "$PKI/$1.key" -sha256 -days 3650 -subj "/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -out "$PKI/$1.crt"
}

# new_certificate AUTHORITY NAME SUBJECT serverAuth|clientAuth [SUBJECT_ALT_NAMES]
new_certificate() {
  local authority=$1 name=$2 subject=$3 usage=$4 names=${5:-}
  new_key "$name"
  openssl req -new -key "$PKI/$name.key" -subj "$subject" |
    openssl x509 -req -CA "$PKI/$authority.crt" -CAkey "$PKI/$authority.key" -days 3650 -sha256 \
      -set_serial "$(date +%s%N)" -out "$PKI/$name.crt" -extfile <(
        say basicConstraints=CA:FALSE
        say keyUsage=digitalSignature,keyEncipherment
        say "extendedKeyUsage=$usage"
        [ -z "$names" ] || say "subjectAltName=$names"
      ) 2>/dev/null
}

# Those of etcd as kubeadm lays them out (cmd/kubeadm/app/phases/certs/certlist.go, v1.34): an authority of its own.
make_etcd_certificates() {
  [ ! -e "$PKI/etcd/complete" ] || return 0
  new_authority etcd/ca etcd-ca
  new_certificate etcd/ca etcd/server "/CN=$NODE_NAME" serverAuth,clientAuth \
    "DNS:localhost,DNS:$NODE_NAME,IP:127.0.0.1,IP:$NODE_ADDRESS"
  new_certificate etcd/ca etcd/healthcheck-client /CN=kube-etcd-healthcheck-client clientAuth
  new_certificate etcd/ca apiserver-etcd-client /CN=kube-apiserver-etcd-client clientAuth
  touch "$PKI/etcd/complete"
}

make_certificates() {
  local service=kubernetes.default
  [ ! -e "$PKI/complete" ] || return 0
  new_authority ca etcdbackup-test-ca
  new_certificate ca apiserver /CN=kube-apiserver serverAuth \
    "DNS:kubernetes,DNS:$service,DNS:$service.svc,DNS:$service.svc.cluster.local,IP:$NODE_ADDRESS,IP:$API_SERVICE_ADDRESS"
  new_certificate ca apiserver-kubelet-client "/O=$KUBELET_API_GROUP/CN=apiserver-kubelet-client" clientAuth
  new_certificate ca kubelet-server "/CN=$NODE_NAME" serverAuth "DNS:$NODE_NAME,IP:$NODE_ADDRESS"
  new_certificate ca kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth
  new_certificate ca controller-manager /CN=system:kube-controller-manager clientAuth
  new_certificate ca scheduler /CN=system:kube-scheduler clientAuth
  new_certificate ca kube-proxy /CN=system:kube-proxy clientAuth
  new_certificate ca admin /O=system:masters/CN=admin clientAuth
  # The aggregation layer trusts a user named in a header; with an authority of
  # its own no ordinary client certificate can send one.
  new_authority front-proxy-ca etcdbackup-test-front-proxy-ca
  new_certificate front-proxy-ca front-proxy-client /CN=front-proxy-client clientAuth
  new_key service-accounts
  openssl pkey -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub"
  touch "$PKI/complete"
}

make_kubeconfigs() {
  local user
  for user in admin controller-manager scheduler kube-proxy kubelet; do
    kubeconfig_of "$user" >"$STATE/.kubeconfig"
    mv "$STATE/.kubeconfig" "$STATE/$user.kubeconfig"
  done
}

kubeconfig_of() {
  local user=$1
  cat <<END
apiVersion: v1
kind: Config
current-context: etcdbackup-test
contexts: [{name: etcdbackup-test, context: {cluster: etcdbackup-test, user: $user}}]
clusters:
  - name: etcdbackup-test
    cluster:
      server: https://$NODE_ADDRESS:$API_PORT
      certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
  - name: $user
    user:
      client-certificate-data: $(base64 -w0 "$PKI/$user.crt")
      client-key-data: $(base64 -w0 "$PKI/$user.key")
END
}
