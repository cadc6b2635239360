# replace the running registry with the complete one
# shellcheck shell=sh
: "${CONTAINER:?}"
: "${NEXT:?}"
: "${FORMER:?}"
: "${FORMER_FOLDER:?}"
: "${REPOSITORY:?}"
if docker container inspect "$FORMER" > /dev/null 2>&1; then
    # An earlier attempt was cut off: only one of the two that it had in hand is the registry.
    docker container inspect "$CONTAINER" > /dev/null 2>&1 || docker rename "$FORMER" "$CONTAINER"
    docker rm -f -v "$FORMER" > /dev/null 2>&1
fi
if docker container inspect "$CONTAINER" > /dev/null 2>&1; then
    docker stop "$CONTAINER" > /dev/null || exit 1
    docker rename "$CONTAINER" "$FORMER" || exit 1
fi
if docker rename "$NEXT" "$CONTAINER" && docker start "$CONTAINER" > /dev/null; then
    docker rm -f -v "$FORMER" > /dev/null 2>&1
    rm -rf "$FORMER_FOLDER"
    docker image ls --format '{{.Repository}}:{{.Tag}}' "$REPOSITORY" \
        | grep -vxF "$(docker inspect --format '{{.Config.Image}}' "$CONTAINER")" \
        | xargs -r docker image rm > /dev/null 2>&1
    exit 0
fi
docker rm -f -v "$CONTAINER" > /dev/null 2>&1
if docker container inspect "$FORMER" > /dev/null 2>&1; then
    docker rename "$FORMER" "$CONTAINER" && docker start "$CONTAINER" > /dev/null
fi
exit 1
