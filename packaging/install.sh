#!/bin/sh
# Copy units, users, directories and policies to where systemd looks for them. Nothing is started or enabled.
#   sh packaging/install.sh              on the station, as root
#   DESTDIR=image sh packaging/install.sh    into the tree of an image
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}

put() { # mode source target-directory
    install -D -m "$1" "$here/$2" "$root$3/${2##*/}"
}

put 0644 systemd/evsed.service              /usr/lib/systemd/system
put 0644 systemd/evse-kiosk@.service        /usr/lib/systemd/system
put 0755 systemd/evse-admin-console         /usr/lib/evse
put 0644 sysusers.d/evse.conf               /usr/lib/sysusers.d
put 0644 tmpfiles.d/evse.conf               /usr/lib/tmpfiles.d
put 0644 logind.conf.d/evse-kiosk.conf      /usr/lib/systemd/logind.conf.d
put 0644 sysctl.d/evse-kiosk.conf           /usr/lib/sysctl.d
