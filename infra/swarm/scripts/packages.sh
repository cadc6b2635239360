# install packages
# shellcheck shell=sh
: "${APT_SECONDS:?}"
: "${STATE_FOLDER:?}"

apt() {
    timeout "$APT_SECONDS" env DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o DPkg::Lock::Timeout=120 -o APT::Keep-Downloaded-Packages=false "$@" > /dev/null
}

packages() {
    # shellcheck disable=SC2016 # dpkg-query's own syntax
    dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' | grep ' installed$' | sort
}

# Save the installed packages, so that those that are added can be removed. The state before is saved
# first, so that an interrupted installation does not lose it.
note_packages() {
    mkdir -p "$STATE_FOLDER"
    [ -e "$STATE_FOLDER/before" ] || {
        packages > "$STATE_FOLDER/before.new"
        mv "$STATE_FOLDER/before.new" "$STATE_FOLDER/before"
    }
}

keep_note() {
    packages | comm -13 "$STATE_FOLDER/before" - | cut -d ' ' -f 1 >> "$STATE_FOLDER/installed"
    rm "$STATE_FOLDER/before"
}
