# remove what no image in the registry needs
# shellcheck shell=sh
: "${CONTAINER:?}"
: "${COLLECTOR:?}"
: "${OPTIONS:?}"
: "${CONFIGURATION:?}"
image=$(docker inspect --format '{{.Config.Image}}' "$CONTAINER") || exit 1
docker rm -f "$COLLECTOR" > /dev/null 2>&1
trap 'docker start "$CONTAINER" > /dev/null' EXIT
trap 'exit 1' HUP INT TERM
docker stop "$CONTAINER" > /dev/null || exit 1
# shellcheck disable=SC2086 # a word for each option
docker run --rm --name "$COLLECTOR" --network none $OPTIONS --volumes-from "$CONTAINER" \
    --entrypoint /usr/bin/docker-registry "$image" \
    garbage-collect "$CONFIGURATION" > /dev/null
