# pull images from ECR by the role of the machine's instance
# shellcheck shell=sh
: "${REGISTRY:?}"
: "${IMAGES:?}"
: "${NO_TOKEN:?}"
set -e
folder=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$folder"' EXIT
export AWS_ECR_DISABLE_CACHE=true AWS_ECR_CACHE_DIR="$folder"
printf %s "$REGISTRY" | docker-credential-ecr-login get > "$folder/token" || {
    cat "$folder/log/ecr-login.log" >&2
    exit "$NO_TOKEN"
}
secret=$(sed 's/.*"Secret":"\([^"]*\)".*/\1/' "$folder/token")
auth=$(printf 'AWS:%s' "$secret" | base64 -w 0)
printf '{"auths":{"%s":{"auth":"%s"}}}' "$REGISTRY" "$auth" > "$folder/config.json"
for image in $IMAGES; do
    docker --config "$folder" pull --quiet "$image" > /dev/null
done
