# remove the stack's containers, volumes and images, and the registry's
# shellcheck shell=sh
: "${STACK:?}"
: "${REGISTRY:?}"
: "${REGISTRY_VOLUME:?}"
: "${REGISTRY_REPOSITORY:?}"
: "${TRUST_MARK:?}"
set -e
# shellcheck disable=SC2086 # a word for each object
if command -v docker > /dev/null && docker info > /dev/null 2>&1; then
    label=label=com.docker.stack.namespace=$STACK
    containers=$(docker ps -aq --filter "$label")
    [ -z "$containers" ] || docker rm -f -v $containers > /dev/null
    docker rm -f -v "$REGISTRY" > /dev/null 2>&1 || true
    volumes=$(docker volume ls -q --filter "$label")
    [ -z "$volumes" ] || docker volume rm $volumes > /dev/null
    docker volume rm -f "$REGISTRY_VOLUME" > /dev/null 2>&1 || true
    docker network rm docker_gwbridge > /dev/null 2>&1 || true
    # Images belong to the registry if their name begins with it; the engine keeps them by digest.
    grep -lsx "$TRUST_MARK" /etc/docker/certs.d/*/ca.crt | while read -r file; do
        folder=${file%/*}
        images=$(docker image ls -q --filter "reference=${folder##*/}/*" | sort -u)
        [ -z "$images" ] || docker image rm -f $images > /dev/null
    done
    images=$(docker image ls -q --filter "reference=$REGISTRY_REPOSITORY:*" | sort -u)
    [ -z "$images" ] || docker image rm -f $images > /dev/null
fi
