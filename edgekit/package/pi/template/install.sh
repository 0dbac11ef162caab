#!/bin/sh
# Makes this folder run on this machine. Run it again at any time: what is done already is left alone.
set -eu

name=@NAME@
runtime=@RUNTIME@
wide="@WIDE@"        # Python versions on 64-bit systems
narrow="@NARROW@"    # and on 32-bit ones
why_not_narrow="@WHY_NOT_NARROW@"
service=edgekit-$name.service

usage() {
    cat <<USAGE
usage: ./install.sh [--no-apt] [--service]

Makes a Python environment in this folder (.venv), with what requirements.txt says, and runs the self-test.
  --no-apt    do not install Debian packages; say which are missing
  --service   start ./classify at boot, too, as a systemd service (needs sudo)
USAGE
}

refuse() {
    printf 'install.sh: %s\n' "$@" >&2
    exit 2
}

apt=yes with_service=no
for option in "$@"; do
    case $option in
        --no-apt) apt=no ;;
        --service) with_service=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
cd "$here"

# --- What is this machine?

python=$(command -v python3) || refuse "there is no python3 here."
facts=$("$python" -c 'import struct, sys; print("%d.%d %d" % (*sys.version_info[:2], 8 * struct.calcsize("P")))')
version=${facts% *}
bits=${facts#* }
machine=$(uname -m)
as_narrow=
case $bits-$machine in
    64-aarch64 | 64-x86_64) allowed=$wide ;;
    32-armv7l | 32-armv8l) allowed=$narrow ;;
    32-aarch64) allowed=$narrow as_narrow="setarch linux32" ;;  # a 32-bit system on a 64-bit kernel
    *) refuse "a $bits-bit Python on $machine has no $runtime: a 64-bit Raspberry Pi OS is needed (Pi 3 or later, Zero 2 W)." ;;
esac
if [ "$bits" = 32 ] && [ -z "$narrow" ]; then
    refuse "this system is 32-bit, and this bundle runs on 64-bit ones only." "$why_not_narrow"
fi
case " $allowed " in
    *" $version "*) ;;
    *)
        if [ "$bits" = 32 ]; then
            refuse "32-bit Python $version has no wheel of a TensorFlow Lite runtime; only $allowed has." \
                "Use the 64-bit Raspberry Pi OS, or the 32-bit one of Debian 12 (bookworm)."
        fi
        refuse "Python $version has no wheel of $runtime; these have: $allowed."
        ;;
esac

missing=
want() {
    dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q 'ok installed' || missing="$missing $1"
}
if command -v dpkg-query > /dev/null && command -v apt-get > /dev/null; then
    "$python" -c 'import ensurepip, venv' 2> /dev/null || want python3-venv
    want python3-opencv                       # USB cameras, videos and streams
    if [ "$bits" = 32 ]; then
        want python3-numpy
        want python3-pil
    fi
    if grep -q 'Raspberry Pi' /proc/device-tree/model 2> /dev/null; then
        want python3-picamera2                # the Pi's camera
    fi
fi

root=
[ "$(id -u)" = 0 ] || root=sudo
user=${SUDO_USER:-$(id -un)}
simple=yes
case $here in
    *[!A-Za-z0-9/._+-]*) simple=no ;;
esac
if [ "$with_service" = yes ]; then
    [ "$simple" = yes ] || refuse "systemd cannot start a program in $here: move this folder to a simpler path."
    [ "$user" != root ] || refuse "run this as the user that the service is to run as, not as root."
fi

# --- Say it

# A newer system has another Python, for which the environment is made anew.
stamp="$version $(cat requirements.txt install.sh | cksum)"
echo "$name on $(uname -n): Python $version, $bits-bit. What is done now, in $here:"
if [ -n "$missing" ] && [ "$apt" = yes ]; then
    echo "  - Debian packages: ${root:+$root }apt-get update, and install$missing"
elif [ -n "$missing" ]; then
    echo "  - left out (--no-apt), and missing: apt-get install$missing"
fi
if [ "$(cat .venv/installed 2> /dev/null)" = "$stamp" ]; then
    echo "  - the Python environment .venv is there already"
    fresh=no
else
    echo "  - a Python environment, .venv, which sees the system's packages; pip puts $runtime and what it needs into it"
    fresh=yes
fi
echo "  - the self-test"
if [ "$with_service" = yes ]; then
    echo "  - the service $service, copied to /etc/systemd/system with $root, and started now and at every boot"
fi

# --- Do it

if [ -n "$missing" ] && [ "$apt" = yes ]; then
    $root apt-get -qq update
    # shellcheck disable=SC2086  # both are lists of words
    $root apt-get install -y --no-install-recommends $missing
fi

if [ "$fresh" = yes ]; then
    rm -rf .venv
    "$python" -m venv --system-site-packages .venv || {
        rm -rf .venv
        refuse "the Python environment could not be made: sudo apt-get install python3-venv"
    }
    # Wheels only: building one of these on a Pi takes hours, or fails.
    # shellcheck disable=SC2086
    $as_narrow .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt ||
        refuse "pip could not install $runtime and what it needs; its last line above says why." \
            "Is there a network? Then run ./install.sh again."
    echo "$stamp" > .venv/installed
fi

./classify --self-test

if [ "$simple" = yes ]; then
    sed -e "s|@DIR@|$here|g" -e "s|@USER@|$user|g" service.in > "$service"
fi
if [ "$with_service" = yes ]; then
    $root cp "$service" "/etc/systemd/system/$service"
    $root systemctl daemon-reload
    $root systemctl enable "$service"
    $root systemctl restart "$service"
    echo "It runs, and starts at boot. See it with: journalctl -f -u $service"
fi
