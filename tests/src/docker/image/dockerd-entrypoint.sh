#!/bin/sh
# An engine inside a container, as the image docker:dind starts one: with certificates
# for it and its clients under DOCKER_TLS_CERTDIR, or without TLS where that is empty.
set -eu

certificate() { # side, extensions
    mkdir -p "$DOCKER_TLS_CERTDIR/$1"
    (
        cd "$DOCKER_TLS_CERTDIR/$1"
        openssl req -new -newkey rsa:2048 -nodes -config /etc/openssl.cnf \
            -subj "/CN=docker $1" -keyout key.pem -out csr.pem
        printf '%s\n' "$2" > extensions
        openssl x509 -req -in csr.pem -days 2 -CA ../ca/cert.pem -CAkey ../ca/key.pem \
            -CAcreateserial -extfile extensions -out cert.pem
        cp ../ca/cert.pem ca.pem
    )
}

certificates() {
    mkdir -p "$DOCKER_TLS_CERTDIR/ca"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -config /etc/openssl.cnf \
        -subj "/CN=docker CA" -extensions ca \
        -keyout "$DOCKER_TLS_CERTDIR/ca/key.pem" -out "$DOCKER_TLS_CERTDIR/ca/cert.pem"
    certificate server "subjectAltName=DNS:docker,DNS:localhost"
    certificate client "extendedKeyUsage=clientAuth"
}

if [ -n "${DOCKER_TLS_CERTDIR:-}" ]; then
    certificates
    server=$DOCKER_TLS_CERTDIR/server
    set -- --host tcp://0.0.0.0:2376 --tlsverify --tlscacert "$server/ca.pem" \
        --tlscert "$server/cert.pem" --tlskey "$server/key.pem" "$@"
else
    set -- --host tcp://0.0.0.0:2375 --tls=false "$@"
fi
exec dockerd --host unix:///var/run/docker.sock "$@"
