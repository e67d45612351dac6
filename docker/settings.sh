# Sourced by the other scripts. pip asks nobody whether it is the newest; what the builder of an image passes as secrets
# holds for the build alone: pip.conf, apt.conf, and ca.crt, the certificates of a proxy that reads along.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore
secrets=/run/secrets
if [ -e "$secrets/pip.conf" ]; then export PIP_CONFIG_FILE="$secrets/pip.conf"; fi
if [ -e "$secrets/apt.conf" ]; then export APT_CONFIG="$secrets/apt.conf"; fi
if [ -e "$secrets/ca.crt" ]; then export PIP_CERT="$secrets/ca.crt" SSL_CERT_FILE="$secrets/ca.crt"; fi

# Debian's packages, without what apt keeps: apt_install PACKAGE...
apt_install() {
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
}
